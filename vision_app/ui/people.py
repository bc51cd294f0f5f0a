"""The People page: who is enrolled in a gallery; enroll, rename, forget."""

from pathlib import Path

import streamlit as st

from vision_app import Gallery
from vision_app.faces.gallery import Enrollment, Forgotten, Person
from vision_app.faces.gallery.results import ACCEPTED
from vision_app.ui import faces, models, uploads
from vision_app.ui.pictures import Picture
from vision_app.ui.text import amount, plain

AGREED = "agreed on the page"
CROP_WIDTH = 160  # pixels


def page() -> None:
    """Draw the page."""
    st.title("People", anchor=False)
    path = faces.gallery_file()
    if path is None:
        return
    for show, text in st.session_state.pop("news", []):
        show(text)
    people = enrolled(path)
    left, right = st.columns([3, 2], gap="large")
    with left:
        overview(path, people)
        if people:
            person(path, people)
    with right, st.container(border=True):
        enroll(path)


def enrolled(path: Path) -> list[Person]:
    """Return everybody in the gallery; nobody where there is none yet."""
    with faces.reading(path) as gallery:
        return gallery.people() if gallery else []


def overview(path: Path, people: list[Person]) -> None:
    """Draw a table of everybody."""
    if not people:
        st.info(f"Nobody is enrolled in {plain(str(path))} yet. One photo is enough to be recognized; more help.")
        return
    st.markdown(f"**{len(people):,} {'person' if len(people) == 1 else 'people'}** in {plain(str(path))}")
    st.dataframe(
        {
            "Name": [one.name for one in people],
            "Photos": [one.photos for one in people],
            "Since": [one.added[:10] for one in people],
            "Consent": [one.consent for one in people],
        },
        hide_index=True,
    )


def enroll(path: Path) -> None:
    """Draw the form that makes somebody known, and do so when it is sent."""
    st.subheader("Enroll", anchor=False)
    place = uploads.source("enroll from")
    turn = st.session_state.setdefault("enrollment", 0)  # another one empties the form
    with st.form(f"enroll {turn}", border=False):
        name = st.text_input("Name", key=f"name {turn}", help="A known name gets more photos.")
        pictures = pictures_from(place, turn)
        agreed = st.checkbox("This person agreed to be recognized with this gallery", key=f"agreed {turn}")
        note = st.text_input("What was agreed", key=f"note {turn}", placeholder=AGREED, help="Kept with each photo.")
        with st.expander("Options"):
            largest = st.checkbox("Take the largest face of a photo that shows several", key=f"largest {turn}")
            similar = st.checkbox("Accept who looks like somebody enrolled, such as a twin", key=f"similar {turn}")
        st.caption("The gallery keeps the name, a small picture of the face and its embedding, never the photo itself.")
        sent = st.form_submit_button("Enroll", type="primary")
    if not sent:
        return
    if missing := [
        what for what, there in (("a name", name.strip()), ("a photo", pictures), ("the consent", agreed)) if not there
    ]:
        st.warning(f"Not enrolled: {', '.join(missing)} is missing.")
        return
    options = {"consent": note.strip() or AGREED, "largest": largest, "allow_similar": similar}
    answers = enroll_all(path, name, pictures, options)
    news = [told(picture, answer) for picture, answer in zip(pictures, answers, strict=True)]
    if any(answer.code == ACCEPTED for answer in answers):
        st.session_state["enrollment"] += 1
        after(news)
    for show, text in news:
        show(text)


def pictures_from(place: str, turn: int) -> list[Picture]:
    """Draw the uploader or the camera and return what came."""
    if place == uploads.CAMERA:
        shot = st.camera_input("Photo", key=f"photo {turn}", resolution="720p", help=uploads.MEMORY_ONLY)
        return [Picture("snapshot", shot.getvalue())] if shot else []
    return uploads.several("Photos of one face each", "vision-app faces enroll", f"photos {turn}")


def enroll_all(path: Path, name: str, pictures: list[Picture], options: dict) -> list[Enrollment]:
    """Enroll somebody with each picture in turn and return what became of each."""
    answers = []
    with Gallery.open(path, recognizer=models.recognizer()) as gallery:
        for number, picture in enumerate(pictures, 1):
            with st.spinner(f"Looking at {plain(picture.name)} ({number} of {len(pictures)}) …"):
                answers += gallery.enroll(name, [picture.data], **options)
    return answers


def told(picture: Picture, answer: Enrollment) -> tuple:
    """Return what became of a photo: how to show it, and the words."""
    if answer.refused:
        return st.warning, f"{plain(picture.name)}: not accepted, {plain(answer.reason)}."
    why = f", {plain(answer.reason)}" if answer.reason else ""
    return st.success, f"{plain(picture.name)}: accepted as {plain(answer.name)}{why}."


def person(path: Path, people: list[Person]) -> None:
    """Draw somebody and what can be done with them."""
    st.subheader("Somebody", anchor=False)
    name = st.selectbox("Person", [one.name for one in people])
    with faces.reading(path) as gallery:
        samples = gallery.samples(name)
    with st.container(horizontal=True):
        for sample in samples:
            with st.container(width=CROP_WIDTH):
                if sample.crop:
                    st.image(sample.crop, alt=f"Face of {name}")
                st.caption(plain(f"{sample.added[:10]}, consent: {sample.consent or 'no note'}"))
    buttons = st.container(horizontal=True)
    with buttons, st.popover("Rename", icon=":material/edit:"), st.form("rename", border=False):
        new = st.text_input("New name", name)
        if st.form_submit_button("Rename"):
            with Gallery.open(path, create=False) as gallery:
                gallery.rename(name, new)
            after([(st.success, f"{plain(name)} is now {plain(new.strip())}.")])
    with buttons, st.popover("Forget", icon=":material/delete:"):
        st.markdown(
            f"Deletes all that the gallery holds of **{plain(name)}** and proves it. Exports and copies of the file "
            "are not touched. This cannot be undone."
        )
        if st.button(f"Forget {plain(name)} for good", type="primary"):
            with Gallery.open(path, create=False) as gallery:
                done = gallery.forget(name)
            for kept in ("looks", "snapshots", "identified"):  # of this session
                st.session_state.pop(kept, None)
            if watch := st.session_state.pop("watch", None):
                watch.stop()
            after([(st.success, proof(done))])


def proof(done: Forgotten) -> str:
    """Return what was removed and that nothing of it is left."""
    files = ", ".join(plain(Path(file).name) for file in done.searched)
    photos, texts = amount(done.photos, "photo"), ", ".join(map(plain, done.unsought))
    return (
        f"**{plain(done.name)} is forgotten:** {photos} removed with embeddings, pictures of the face and digests. "
        f"Then {files} were searched for {done.traces} traces of it: none is left."
    ) + (f" Deleted, but too short, or too much like what others have, to be looked for: {texts}." if texts else "")


def after(news: list[tuple]) -> None:
    """Draw the page anew as it is after a change, with the news of it on top."""
    st.session_state["news"] = news
    st.rerun()
