"""The image of a client that a matrix brings, with an engine in memory: what goes in, and what is refused."""

import io
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_host import FakeHost
from fakes import FakeEngine, ran

from orchestrator.arch import ARCHES
from orchestrator.errors import EngineError, MatrixctlError, SourceUnreachableError
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import ExecResult, Image
from orchestrator.execute.images import own_client, workshop
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import ImageRef
from orchestrator.matrix.model import ClientValue

AMD = ARCHES["amd64"]
THEIRS = Image(
    id="sha256:" + "a" * 64, tags=("mine:1",), arch="amd64", labels={}, created="2026-01-01T00:00:00Z"
)


class Engine(FakeEngine):
    """It keeps what was added to the images that it built, by the name of the tar."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.added: dict[str, bytes] = {}
        self.scripts: list[str] = []
        self.script_says = self.fails_to_unpack = ran()

    def build_image(self, tag: str, context: Any, **options: Any) -> ExecResult:
        with tarfile.open(fileobj=context) as tar:
            for entry in tar:
                if (content := tar.extractfile(entry)) is not None:
                    self.added[entry.name] = content.read()
        context.seek(0)
        if "client.tar" in self.added and self.fails_to_unpack.exit_code:
            return self.fails_to_unpack
        return super().build_image(tag, context, **options)

    def make_file(self, image: str, script: str, path: str, into: Any, **options: Any) -> ExecResult:
        if "matrixctl-extract trixie amd64 /image" in script:
            self.scripts.append(script)
            if self.script_says.exit_code:
                return self.script_says
        return super().make_file(image, script, path, into, **options)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def images(engine: Engine) -> ImageSet:
    return ImageSet(shop=workshop.Workshop(engine=engine, host=FakeHost(), arch=AMD))


def client(source: Any, *where: str | Path, family: str = "curl") -> ClientValue:
    return ClientValue(name="mine", family=family, source=source, where=tuple(map(str, where)))


def contents(engine: Engine) -> dict[str, str]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(engine.added["client.tar"])) as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.isreg() else None
            found[entry.name] = content.read().decode() if content else entry.linkname
    return found


def test_a_program_lies_below_its_root_by_the_name_of_its_family(
    tmp_path: Path, engine: Engine, images: ImageSet
) -> None:
    (tmp_path / "curl-8.16").write_text("a program")
    made = images.get_client(client("path", tmp_path / "curl-8.16"))
    assert contents(engine) == {"bin/curl": "a program"}
    ours = images.get("client", AMD)
    assert f"FROM {ours.tag}\n" in engine.built[-1]
    assert "ADD client.tar /opt/client/" in engine.built[-1]
    assert made.digest == f"sha256:{sha256(engine.added['client.tar']).hexdigest()}"
    assert made.key != ours.key
    assert ("run", made.tag) in engine.calls, "it was asked what it is"


def test_a_folder_comes_whole_with_its_links(tmp_path: Path, engine: Engine, images: ImageSet) -> None:
    (tmp_path / "root/bin").mkdir(parents=True)
    (tmp_path / "root/bin/curl").write_text("a program")
    (tmp_path / "root/lib").symlink_to("/usr/lib")
    images.get_client(client("path", tmp_path / "root"))
    assert contents(engine) == {"bin/curl": "a program", "lib": "/usr/lib"}


def test_other_bytes_make_another_image_and_the_same_ones_the_same(tmp_path: Path, images: ImageSet) -> None:
    (tmp_path / "curl").write_text("one")
    value = client("path", tmp_path / "curl")
    ours, engine = images.get("client", AMD), images.shop.engine

    def make() -> ImageRef:
        return own_client.ensure(images.shop, ours, value, lambda: images.get("toolchain", AMD))

    assert own_client.find(engine, ours, value) is None
    first, again = make(), make()
    assert (first.new, again.new, again.tag) == (True, False, first.tag)
    found = own_client.find(engine, ours, value)
    assert found is not None
    assert found.tag == first.tag
    (tmp_path / "curl").write_text("two")
    assert own_client.find(engine, ours, value) is None
    assert make().tag != first.tag


def test_packages_in_files_are_unpacked_in_the_image(
    tmp_path: Path, engine: Engine, images: ImageSet
) -> None:
    for name in ("a.deb", "b.deb"):
        (tmp_path / name).write_bytes(b"!<arch>\n" + name.encode())
    images.get_client(client("package", tmp_path / "a.deb", tmp_path / "b.deb"))
    assert contents(engine) == {"0.deb": "!<arch>\na.deb", "1.deb": "!<arch>\nb.deb"}
    assert "dpkg-deb --extract" in engine.built[-1]


def test_packages_of_the_archive_are_extracted_with_what_they_depend_on(
    engine: Engine, images: ImageSet
) -> None:
    made = images.get_client(client("package", "curl=8.14.1-2+deb13u7"))
    (script,) = engine.scripts
    assert "  curl=8.14.1-2+deb13u7\n" in script
    assert "dpkg-deb" not in engine.built[-1]
    assert (made.digest, made.origin) == (None, "package curl=8.14.1-2+deb13u7")


def test_an_engines_image_is_copied_whole_and_nothing_of_it_runs(engine: Engine, images: ImageSet) -> None:
    engine.images["mine:1"] = THEIRS
    made = images.get_client(client("image", "mine:1"))
    assert f"FROM {THEIRS.id} AS theirs\n" in engine.built[-1]
    assert "COPY --from=theirs --chown=65534:65534 / /opt/client/" in engine.built[-1]
    assert made.digest == THEIRS.id
    assert ("run", THEIRS.id) not in engine.calls
    assert ("run", "mine:1") not in engine.calls


def test_a_saved_image_is_unpacked_and_never_loaded(tmp_path: Path, engine: Engine, images: ImageSet) -> None:
    layer = pack({"usr/bin/curl": b"a program"})
    (tmp_path / "x.tar").write_bytes(pack({"manifest.json": b'[{"Layers": ["l"]}]', "l": layer}))
    images.get_client(client("image", tmp_path / "x.tar"))
    assert contents(engine)["usr/bin/curl"] == "a program"


def test_ours_needs_no_other_image(images: ImageSet) -> None:
    assert images.get_client(ClientValue(name="curl", family="curl")) == images.get("client", AMD)


Prepare = Callable[[Path, Engine], ClientValue]


def _missing(tmp_path: Path, _: Engine) -> ClientValue:
    return client("path", tmp_path / "nowhere")


def _no_deb(tmp_path: Path, _: Engine) -> ClientValue:
    (tmp_path / "x.deb").write_text("<html>")
    return client("package", tmp_path / "x.deb")


def _broken_deb(tmp_path: Path, engine: Engine) -> ClientValue:
    (tmp_path / "x.deb").write_bytes(b"!<arch>\ngarbage")
    said = b"Step 3\ndpkg-deb: error: '0.deb' is not a Debian format archive\nRemoving\n"
    engine.fails_to_unpack = ran(exit_code=1, stdout=said, stderr=b"a command returned 1")
    return client("package", tmp_path / "x.deb")


def _no_image(_: Path, __: Engine) -> ClientValue:
    return client("image", "mine:1")


def _foreign(_: Path, engine: Engine) -> ClientValue:
    engine.images["mine:1"] = THEIRS.model_copy(update={"arch": "arm64"})
    return client("image", "mine:1")


def _unsaved(tmp_path: Path, _: Engine) -> ClientValue:
    (tmp_path / "x.tar").write_text("text")
    return client("image", tmp_path / "x.tar")


def _unknown(_: Path, engine: Engine) -> ClientValue:
    engine.script_says = ran(exit_code=25, stdout=b"E: Version '9' for 'curl' was not found\n")
    return client("package", "curl=9")


def _no_http3(tmp_path: Path, engine: Engine) -> ClientValue:
    (tmp_path / "curl").write_text("a program")
    engine.client_says = b'{"command": [], "version": "", "problem": "curl 7.88 has no HTTP/3 in it"}\n'
    return client("path", tmp_path / "curl")


@pytest.mark.parametrize(
    ("prepare", "said", "remedy"),
    [
        (_missing, "nowhere of the client mine cannot be read: No such file", "Correct the client's `path`"),
        (_no_deb, "x.deb of the client mine is no Debian package", ""),
        (
            _broken_deb,
            "cannot be unpacked: dpkg-deb: error: '0.deb' is not",
            "Correct the client's `package`",
        ),
        (_no_image, "the engine has no image mine:1 for the client mine", "docker pull mine:1"),
        (
            _foreign,
            "the image mine:1 of the client mine is for arm64, and clients run on amd64",
            "--platform linux/amd64",
        ),
        (_unsaved, "x.tar is no saved container image", "docker save"),
        (_unknown, "the archive has no curl=9, which the client mine is to come from", "apt-cache madison"),
        (_no_http3, "cannot be used: curl 7.88 has no HTTP/3 in it", "Correct the client's `path`"),
    ],
)
def test_what_it_cannot_be_made_of_is_named_with_the_remedy(
    tmp_path: Path, images: ImageSet, prepare: Prepare, said: str, remedy: str
) -> None:
    engine = images.shop.engine
    assert isinstance(engine, Engine)
    with pytest.raises(SourceUnreachableError) as caught:
        images.get_client(prepare(tmp_path, engine))
    assert said in caught.value.brief
    assert remedy in caught.value.resolution


@pytest.mark.parametrize("answer", [b"", b"Traceback\n", b"[]\n", b'{"a": 1}\n', b"\xff\n"])
def test_an_answer_of_another_shape_is_the_harnesss(
    tmp_path: Path, images: ImageSet, engine: Engine, answer: bytes
) -> None:
    (tmp_path / "curl").write_text("a program")
    engine.client_says = answer
    with pytest.raises(EngineError, match="asking the client mine what it is failed"):
        images.get_client(client("path", tmp_path / "curl"))


def test_a_client_that_cannot_be_made_leaves_ours_alone(tmp_path: Path, images: ImageSet) -> None:
    with pytest.raises(MatrixctlError):
        images.get_client(client("path", tmp_path / "nowhere"))
    assert images.get_client(ClientValue(name="curl", family="curl")).name == "client"
