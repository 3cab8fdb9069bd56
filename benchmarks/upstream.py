"""The fake Ollama server with one model of a given pace, in a process of its own."""

import argparse

import uvloop

from benchmarks.commands import serve_commands
from tests.fakes.ollama_server import open_ollama_fake


async def serve(model: str) -> None:
    async with open_ollama_fake() as fake:
        fake.models = (model,)
        await serve_commands({}, greeting={"url": fake.url})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    uvloop.run(serve(parser.parse_args().model))


if __name__ == "__main__":
    main()
