"""The table of what `parley up` runs: brokers of our own unless others are given, then every service."""

import sys
from collections.abc import Collection
from dataclasses import dataclass, field

from parley_cli.exits import CliError, ExitCode
from parley_cli.settings import CliSettings
from parley_cli.supervisor.brokers import nats_argv, redis_argv
from parley_cli.supervisor.leftovers import MARK
from parley_cli.supervisor.ports import LOOPBACK, PortBook, require_free
from parley_cli.supervisor.process_spec import ProcessSpec
from parley_cli.supervisor.readiness import (
    NatsGreeting,
    http_probe,
    is_reachable,
    nats_greeting,
    nats_probe,
    redis_probe,
    shown_address,
)

GATEWAY = "gateway"
# Intake first, then those who write answers, then those whom answers need, then what carries it all.
STOP_RANKS = {
    GATEWAY: 0,
    "llm": 1,
    "rag": 2,
    "browser": 2,
    "memory": 3,
    "npu": 3,
    "accounts": 3,
    "redis": 4,
    "nats": 5,
}
SERVICES = ("gateway", "llm", "npu", "rag", "memory", "accounts", "browser")
NATS_PORT = 4222
REDIS_PORT = 6379


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What to run, and where it is found."""

    url: str
    nats_url: str
    redis_url: str
    tiers: tuple[tuple[ProcessSpec, ...], ...]
    environment: dict[str, str] = field(repr=False)


def _unreachable(url: str, setting: str) -> CliError:
    return CliError(
        f"Nothing answers at {setting} ({shown_address(url)}): start that server, or unset {setting}.",
        code="unreachable",
    )


async def _require_nats(url: str) -> None:
    match await nats_greeting(url, NATS_PORT):
        case NatsGreeting.NOTHING:
            raise _unreachable(url, "NATS_URL")
        case NatsGreeting.NOT_NATS:
            raise CliError(f"NATS_URL ({shown_address(url)}) does not speak NATS.", code="unusable")
        case NatsGreeting.NO_JETSTREAM:
            raise CliError(
                f"NATS_URL ({shown_address(url)}) has no JetStream: start nats-server with -js.",
                code="unusable",
            )
        case NatsGreeting.WITH_JETSTREAM:
            pass


def _nats(settings: CliSettings, port: int) -> ProcessSpec:
    return ProcessSpec(
        name="nats",
        argv=nats_argv(settings.data_dir, port),
        probe=nats_probe(port),
        port=port,
        stop_rank=STOP_RANKS["nats"],
        grace_s=settings.grace_s,
    )


def _redis(settings: CliSettings, port: int) -> ProcessSpec:
    return ProcessSpec(
        name="redis",
        argv=redis_argv(settings.data_dir, port),
        probe=redis_probe(port),
        port=port,
        stop_rank=STOP_RANKS["redis"],
        grace_s=settings.grace_s,
    )


def _service(
    settings: CliSettings, service: str, name: str, *, health_port: int, public_port: int = 0
) -> ProcessSpec:
    """Return the row of a service; `public_port` is 0 for those that have none."""
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", f"parley_{service}"),
        # Served once the public port is: only there a process tells its name.
        probe=http_probe(health_port),
        port=public_port or health_port,
        stop_rank=STOP_RANKS[service],
        grace_s=settings.grace_s,
        environment={
            "PARLEY_HEALTH_PORT": str(health_port),
            "PARLEY_PORT": str(public_port or settings.port),
        },
        source=f"parley_{service}",
    )


def _services(
    settings: CliSettings, book: PortBook, gateways: int, without: Collection[str]
) -> list[ProcessSpec]:
    unknown = sorted(set(without) - set(SERVICES))
    if unknown:
        raise CliError(
            f"There is no service {unknown[0]!r}: {', '.join(SERVICES)}.", ExitCode.USAGE, code="usage"
        )
    specs: list[ProcessSpec] = []
    for service in (service for service in SERVICES if service not in without):
        if service != GATEWAY:
            specs.append(_service(settings, service, service, health_port=book.port(service)))
            continue
        for index in range(gateways):
            name = GATEWAY if index == 0 else f"{GATEWAY}-{index + 1}"
            public_port = settings.port + index
            require_free(public_port, "PARLEY_PORT")
            specs.append(
                _service(settings, service, name, health_port=book.port(name), public_port=public_port)
            )
    return specs


async def build_stack(settings: CliSettings, *, gateways: int = 1, without: Collection[str] = ()) -> Stack:
    """Choose ports, write the brokers' configuration and return the table.

    Raises CliError for a taken port, a missing program or an external server that will not do.
    """
    book = PortBook(settings.run_dir / "ports.json")
    services = _services(settings, book, gateways, without)
    brokers: list[ProcessSpec] = []
    nats_url, redis_url = settings.nats_url, settings.redis_url
    if nats_url is None:
        brokers.append(_nats(settings, book.port("nats")))
        nats_url = f"nats://{LOOPBACK}:{book.port('nats')}"
    else:
        await _require_nats(nats_url)
    if redis_url is None:
        brokers.append(_redis(settings, book.port("redis")))
        redis_url = f"redis://{LOOPBACK}:{book.port('redis')}"
    elif not await is_reachable(redis_url, REDIS_PORT):
        raise _unreachable(redis_url, "REDIS_URL")
    book.save()
    files = {"PARLEY_TLS_CERT": settings.tls_cert, "PARLEY_TLS_KEY": settings.tls_key}
    environment = {
        **settings.environment,
        **{name: str(path) for name, path in files.items() if path is not None},
        "NATS_URL": nats_url,
        "REDIS_URL": redis_url,
        "PARLEY_DATA_DIR": str(settings.data_dir),
        "PARLEY_SECRETS_DIR": str(settings.secrets_dir),
        "PARLEY_HOST": LOOPBACK,
        "PYTHONUNBUFFERED": "1",
        MARK: str(settings.data_dir),
    }
    return Stack(
        url=f"{'https' if settings.tls_cert else 'http'}://{LOOPBACK}:{settings.port}",
        nats_url=nats_url,
        redis_url=redis_url,
        tiers=(tuple(brokers), tuple(services)),
        environment=environment,
    )
