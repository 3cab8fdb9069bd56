"""`python -m parley_models build [--rknn]`: writes the model's ONNX graph, and its RKNN file for boards."""

import argparse
import sys
from importlib.resources import files as package_files
from pathlib import Path

from parley_npu.fetch import FetchError, fetch
from parley_npu.model_files import ModelFiles, model_dir_of
from parley_npu.parity import MIN_COSINE, REFERENCE, read_parity
from parley_npu.tokenizing import WordPieces

from parley_models.reference import embedded, write_reference
from parley_models.rknn_environment import ToolkitMissingError
from parley_models.rknn_file import BuildError, are_near, build_rknn, cosines


def build_onnx(files: ModelFiles) -> None:
    """Write the graph anew from the weights, and compare it with the vectors that the service proves by."""
    # The weights stay; the graph that a fetch writes is what is built here.
    files.graph.unlink(missing_ok=True)
    fetch(files)
    parity = read_parity(WordPieces(files))
    texts = [text.text for text in parity.texts]
    found = cosines(embedded(files, texts), parity.vectors)
    sys.stdout.write(
        f"{files.graph}: {len(found)} reference texts, cosine least {min(found):.7f}, "
        f"mean {sum(found) / len(found):.7f}\n"
    )
    if not are_near(found):
        raise BuildError(
            f"The graph does not give the reference's vectors: {MIN_COSINE} is the least allowed."
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m parley_models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="write the ONNX graph from the weights, fetched when missing")
    build.add_argument("--rknn", action="store_true", help="build the RKNN file for RK3588 as well")
    build.add_argument("--environment", type=Path, help="where rknn-toolkit2 is or will be installed by this")
    reference = commands.add_parser("reference", help="compute the service's reference vectors anew")
    for command in (build, reference):
        command.add_argument("--data-dir", type=Path, default=Path("data"), help="the data folder")
        command.add_argument("--model-dir", type=Path, help="the model's folder, if it is elsewhere")
    arguments = parser.parse_args()
    files = ModelFiles(arguments.model_dir or model_dir_of(arguments.data_dir))
    try:
        if arguments.command == "reference":
            fetch(files)
            write_reference(files, Path(str(package_files("parley_npu").joinpath(REFERENCE))))
            return
        build_onnx(files)
        if arguments.rknn:
            environment = arguments.environment or arguments.data_dir / "tools" / "rknn-toolkit2"
            report = build_rknn(files, files.rknn, environment.absolute())
            sys.stdout.write(f"{report.text()}\n{files.rknn}\n")
    except (FetchError, ToolkitMissingError, BuildError, OSError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
