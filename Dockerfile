# docker build -t vision-app . && docker run --rm -p 127.0.0.1:8501:8501 vision-app
FROM python:3.11-slim-bookworm

# The address of an index of CPU-only wheels makes the image several gigabytes smaller; empty: wheels that know GPUs.
ARG CPU_WHEEL_INDEX=""

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home --uid 1000 vision
WORKDIR /app

COPY requirements.txt ./
# Live video cannot leave a container through one TCP port, and its codecs (x264, x265) are under the GPL.
RUN sed -i '/^streamlit-webrtc==/d' requirements.txt
RUN pip install ${CPU_WHEEL_INDEX:+--extra-index-url "$CPU_WHEEL_INDEX"} -r requirements.txt

COPY LICENSE README.md pyproject.toml setup.py streamlit_app.py ./
COPY .streamlit .streamlit
COPY models models
COPY vision_app vision_app
RUN pip install --no-deps --no-build-isolation --editable .

USER 1000
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]
CMD ["streamlit", "run", "streamlit_app.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
