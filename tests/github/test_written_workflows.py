"""Workflows that are not in `.github`: of `init --github`, the README and docs/ci.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cli_samples import matrixctl
from hosted import ROOT, Hosted
from small_github import MATRIX, REPOSITORY, USER, begin, host, http3

BIN = Path(sys.executable).parent
PINNED = f"{REPOSITORY}@{'0' * 40}"


def blocks(page: str, language: str = "yaml") -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def readme() -> str:
    (found,) = [block for block in blocks("README.md") if "uses: " in block]
    return found


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "haproxy"
    folder.mkdir()
    done = matrixctl("init", "haproxy", "--github", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_init_writes_both_and_neither_twice(written: Path) -> None:
    before = (written / "matrix.yaml").read_text()
    workflow = written / ".github" / "workflows" / "http3.yml"
    done = matrixctl("init", "haproxy", "--github", cwd=written)
    assert (done.returncode, done.stdout) == (2, "")
    assert ".github/workflows/http3.yml is here already, and stays as it is" in done.stderr
    workflow.unlink()
    (written / "matrix.yaml").write_text(before + "# mine\n")
    done = matrixctl("init", "haproxy", "--github", cwd=written)
    assert (done.returncode, done.stdout) == (0, ".github/workflows/http3.yml is written.\n")
    assert (
        "put the repository of matrixctl and a commit in the place of OWNER/matrixctl@COMMIT" in done.stderr
    )
    assert (written / "matrix.yaml").read_text() == before + "# mine\n"


def test_where_no_folder_can_be_made_it_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("a file")
    done = matrixctl("init", "--github", cwd=tmp_path)
    assert done.returncode == 2
    assert ".github/workflows: Not a directory" in done.stderr
    assert not (tmp_path / "matrix.yaml").exists()


@pytest.mark.parametrize("of", ["init", "readme"])
def test_the_checkers_find_nothing_in_them(written: Path, of: str) -> None:
    path = written / ".github" / "workflows" / "http3.yml"
    text = path.read_text() if of == "init" else readme()
    path.write_text(text.replace("OWNER/matrixctl@COMMIT", PINNED))
    subprocess.run(["git", "init", "--quiet", str(written)], check=True)
    for argv in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)],
        ["actionlint"],
        ["zizmor", "--offline", "--quiet", "."],
    ):
        done = subprocess.run(
            [BIN / argv[0], *argv[1:]], cwd=written, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_their_inputs_are_the_action_s() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    for text in (readme(), (ROOT / "templates" / "init" / "workflow.yml.j2").read_text()):
        steps = yaml.safe_load(text)["jobs"]["http3"]["steps"]
        (step,) = [one for one in steps if one["uses"].startswith("OWNER/matrixctl@")]
        assert set(step["with"]) <= set(action["inputs"])
    told = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "github.md").read_text(), re.MULTILINE)
    told = list(dict.fromkeys(told))  # the page says of `run --github` that it has the same outputs
    assert [name for name in told if name in action["inputs"]] == list(action["inputs"])
    assert [name for name in told if name in action["outputs"]] == list(action["outputs"])


def test_the_readme_s_workflow_gives_a_report(tmp_path: Path) -> None:
    """Played: the tree has a matrix of its own, whose sources the engine in memory knows."""
    github: Hosted = host(tmp_path, MATRIX)
    tree = tmp_path / "repositories" / "haproxy"
    tree.mkdir()
    (tree / "matrix.yaml").write_text(MATRIX)
    begin(tree)
    github.repositories = {USER: tree, **github.repositories}
    step = 'with: {with: "haproxy=path:.", filter: "tls=openssl-distro"}'
    assert step in readme()
    text = (
        readme()
        .replace("OWNER/matrixctl@COMMIT", f"{REPOSITORY}@main")
        .replace(step, "with: {cache: 'false'}")
    )
    ran = github.run(text, event="push")
    job = http3(ran)
    assert job.result == "success", job.log
    assert "All 2 judged cells pass" in job.summary
    assert (tmp_path / "artifacts" / "4000000001" / "matrixctl-report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("schema", "mark"),
    [("vendor.gitlab-ci", "# .gitlab-ci.yml"), ("vendor.woodpecker-ci", "# .woodpecker.yml")],
)
def test_the_files_for_other_systems_are_of_their_schemas(tmp_path: Path, schema: str, mark: str) -> None:
    (text,) = [block for block in blocks("docs/ci.md") if block.startswith(mark)]
    assert len(text.splitlines()) <= 20
    for plant, code in (("", 0), ("steps: 3\nstages: 4\n", 1)):
        (tmp_path / "ci.yml").write_text(text + plant)
        done = subprocess.run(
            [BIN / "check-jsonschema", "--builtin-schema", schema, tmp_path / "ci.yml"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(done.returncode) == bool(code), done.stdout + done.stderr


def test_the_shell_in_docs_ci_is_right() -> None:
    for text in blocks("docs/ci.md", "sh"):
        subprocess.run(["sh", "-n", "-c", text], check=True)
