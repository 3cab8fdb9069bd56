"""A tool for models, from outside: needs nats-py[nkeys] and what `parley bus issue weather --tools` makes."""

import asyncio
import json
import os
from typing import Any

import nats

SPEC = {
    "name": "today",
    "description": "Tells today's weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def main() -> None:
    """Offer one tool, which models call `weather__today`, until stopped."""
    bus = await nats.connect(os.environ["NATS_URL"], nkeys_seed=os.environ["NATS_NKEY_FILE"])

    async def tell(_: Any = None) -> None:
        await bus.publish("parley.v1.tool.offered.tools-weather", json.dumps({"tools": [SPEC]}).encode())

    async def answer(message: Any) -> None:
        city = json.loads(json.loads(message.data)["arguments"])["city"]
        await message.respond(json.dumps({"text": f"In {city} it is 21 degrees, and it rains."}).encode())

    await bus.subscribe("parley.v1.tool.describe", "tools-weather", tell)
    await bus.subscribe("parley.v1.tool.call.weather.*", "tools-weather", answer)
    await tell()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
