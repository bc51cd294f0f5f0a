"""The People page: who is enrolled in a gallery; enroll, rename, forget."""

from pathlib import Path

import streamlit as st

from vision_app import Gallery
from vision_app.core.errors import FaceError, ImageError
from vision_app.core.text import amount, escape
from vision_app.faces.gallery import Enrollment, Forgotten, Person
from vision_app.faces.gallery.results import ACCEPTED
from vision_app.faces.results import DIFFERENT
from vision_app.ui import models
from vision_app.ui.images import CACHE, decoding
from vision_app.ui.widgets.faces import gallery_file
from vision_app.ui.widgets.inputs import CAMERA, choose_source, snapshot, upload_several

AGREED = "agreed on the page"
CROP_WIDTH = 160  # pixels

News = tuple[bool, str]  # whether it is good news, and the words


def page() -> None:
    """Draw the page."""
    st.title("People", anchor=False)
    path = gallery_file()
    show_news(st.session_state.pop("news", []))
    people: list[Person] = []
    if path.exists():
        with Gallery.open(path, readonly=True) as gallery:
            people = gallery.people()
    left, right = st.columns([3, 2], gap="large")
    with left:
        overview(path, people)
        if people:
            person(path, people)
    with right, st.container(border=True):
        enroll(path)


def overview(path: Path, people: list[Person]) -> None:
    """Draw a table of everyone."""
    if not people:
        st.info(
            f"Nobody is enrolled in {escape(str(path))} yet. One photo of a person is enough; more photos improve "
            "recognition."
        )
        return
    st.markdown(f"**{len(people):,} {'person' if len(people) == 1 else 'people'}** in {escape(str(path))}")
    rows = [{"Name": one.name, "Photos": one.photos, "Since": one.added[:10], "Consent": one.consent} for one in people]
    st.dataframe(rows, hide_index=True)


def enroll(path: Path) -> None:
    """Draw the form that enrolls a person, and enroll the person when it is submitted."""
    st.subheader("Enroll", anchor=False)
    source = choose_source("enroll from")
    turn = st.session_state.setdefault("enrollment", 0)  # another one empties the form
    with st.form(f"enroll {turn}", border=False):
        name = st.text_input("Name", key=f"name {turn}", help="Photos of a name that is enrolled already are added.")
        if source == CAMERA:
            photo = snapshot("Photo", f"photo {turn}", "720p")
            images = [photo] if photo else []
        else:
            images = upload_several("Photos of one face each", "vision-app faces enroll", f"photos {turn}")
        agreed = st.checkbox("This person has consented to being recognized with this gallery", key=f"agreed {turn}")
        note = st.text_input("Consent note", key=f"note {turn}", placeholder=AGREED, help="Stored with each photo.")
        with st.expander("Options"):
            largest = st.checkbox("Use the largest face if a photo shows several", key=f"largest {turn}")
            similar = st.checkbox(
                "Accept people who look like an enrolled person, such as twins", key=f"similar {turn}"
            )
            different = st.checkbox(
                "Accept photos that do not look like the person already enrolled under that name",
                key=f"different {turn}",
            )
        st.caption("The gallery stores the name, a small crop of the face and its embedding, never the photo itself.")
        submitted = st.form_submit_button("Enroll", type="primary")
    if not submitted:
        return
    needed = {"a name": name.strip(), "a photo": images, "the person's consent": agreed}
    if missing := [what for what, there in needed.items() if not there]:
        st.warning(f"Please add: {', '.join(missing)}.")
        return
    news, enrolled = [], False
    with Gallery.open(path, recognizer=models.recognizer()) as gallery:
        for number, image in enumerate(images, 1):
            try:
                with st.spinner(f"Enrolling {escape(image.name)} ({number} of {len(images)}) …"), decoding(image):
                    (answer,) = gallery.enroll(
                        name, [image.data], consent=note.strip() or AGREED, largest=largest, allow_similar=similar,
                        allow_different=different,
                    )  # fmt: skip
            except ImageError as error:
                news.append((False, f"{escape(image.name)}: not accepted, {escape(error.reason)}."))
            else:
                news.append(enrollment_news(image.name, answer))
                enrolled |= answer.code == ACCEPTED
    if enrolled:
        st.session_state["enrollment"] += 1
        restart(news)
    show_news(news)


def enrollment_news(photo: str, answer: Enrollment) -> News:
    """Return whether a photo was accepted, and why not."""
    if answer.refused:
        return False, f"{escape(photo)}: not accepted, {escape(answer.reason)}."
    why = f", {escape(answer.reason)}" if answer.reason else ""
    return True, f"{escape(photo)}: accepted as {escape(answer.name)}{why}."


def person(path: Path, people: list[Person]) -> None:
    """Draw a person and what can be done with the person."""
    st.subheader("Person", anchor=False)
    name = st.selectbox("Person", [one.name for one in people], label_visibility="collapsed")
    with Gallery.open(path, readonly=True) as gallery:
        samples = gallery.samples(name)
    with st.container(horizontal=True):
        for sample in samples:
            with st.container(width=CROP_WIDTH):
                if sample.crop:
                    st.image(sample.crop, alt=f"Face of {name}")
                st.caption(escape(f"{sample.added[:10]}, consent: {sample.consent or 'no note'}"))
    buttons = st.container(horizontal=True)
    with buttons, st.popover("Rename", icon=":material/edit:"), st.form("rename", border=False):
        new = st.text_input("New name", name)
        if st.form_submit_button("Rename"):
            with Gallery.open(path, create=False) as gallery:
                gallery.rename(name, new)
            restart([(True, f"Renamed {escape(name)} to {escape(new.strip())}.")])
    if others := [one.name for one in people if one.name != name]:
        with buttons, st.popover("Merge", icon=":material/merge:"):
            merge(path, name, others)
    with buttons, st.popover("Forget", icon=":material/delete:"):
        st.markdown(
            f"Deletes everything that the gallery stores about **{escape(name)}** and checks that nothing is left. "
            "Exports and copies of the file are not touched. This cannot be undone."
        )
        if st.button(f"Forget {escape(name)} permanently", type="primary"):
            with Gallery.open(path, create=False) as gallery:
                done = gallery.forget(name)
            for kept in (CACHE, "snapshots", "identified"):  # of this session
                st.session_state.pop(kept, None)
            if watch := st.session_state.pop("watch", None):
                watch.stop()
            restart([(True, proof(done))])


def merge(path: Path, name: str, others: list[str]) -> None:
    """Draw the choice of the person whom another one is the same as; merge them when it is confirmed."""
    into = st.selectbox(f"{escape(name)} is the same person as", others, index=None, key=f"same as {name}")
    if into is None:
        return
    try:
        with Gallery.open(path, readonly=True, recognizer=models.recognizer()) as gallery:
            answer = gallery.compare(name, into)
        differ = answer.verdict == DIFFERENT
        looks = f"look like different people (similarity {answer.similarity:.3f})"
        doubt = f"{escape(name)} and {escape(into)} {looks}" if differ else ""
    except FaceError as error:
        doubt = escape(f"{name} {error.reason}")
    sure = not doubt
    if doubt:
        st.warning(f"{doubt}. Merging them cannot be undone.")
        sure = st.checkbox("Merge them all the same", key=f"merge {name} into {into}")
    if st.button(f"Merge into {escape(into)}", disabled=not sure):
        with Gallery.open(path, create=False) as gallery:
            gallery.merge(name, into, allow_different=True)
        restart([(True, f"{escape(name)} is now {escape(into)}.")])


def proof(done: Forgotten) -> str:
    """Return what was deleted and that nothing of it is left."""
    files = ", ".join(escape(Path(file).name) for file in done.searched)
    text = (
        f"**{escape(done.name)} is forgotten:** deleted {amount(done.photos, 'photo')} with embeddings, face crops and "
        f"digests, then searched {files} for {amount(done.traces, 'trace')} of the person: none is left."
    )
    if done.unsought:
        unsought = ", ".join(map(escape, done.unsought))
        text += f"  \n:small[Deleted but too short or too common to search for: {unsought}.]"
    return text


def show_news(news: list[News]) -> None:
    """Draw what a change brought about."""
    for good, text in news:
        (st.success if good else st.warning)(text)


def restart(news: list[News]) -> None:
    """Draw the page again as it is after a change, with the news on top."""
    st.session_state["news"] = news
    st.rerun()
