"""What the gateway works on: turns, off the TURNS queue."""

from parley_messaging import Service
from parley_messaging.queues import TURNS

from parley_gateway.turn_runner import TurnRunner


def bind(service: Service, runner: TurnRunner, *, slots: int) -> None:
    """Run turns, whichever gateway accepted them."""
    service.work_raw(TURNS, runner.work, slots=slots)
