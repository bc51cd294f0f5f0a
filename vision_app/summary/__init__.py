"""The summary of a network: what every layer gives, costs and sees."""
