"""Composes the browser service: policy -> proxy -> Chromium -> reader."""

from parley_egress import Exchanger, open_threads, resolving_in
from parley_egress.dialing import NAMES_AT_ONCE
from parley_identity import open_claims
from parley_messaging import Service, run_service

from parley_browser.chromium import open_chromium
from parley_browser.handlers import BrowserHandlers, bind
from parley_browser.http_request import HttpTool
from parley_browser.metrics import ReadMetrics
from parley_browser.proxy import open_proxy
from parley_browser.reader import PageReader
from parley_browser.settings import BrowserSettings
from parley_browser.tools import offer_tools

# Requests beyond those read and waiting that are heard at once, to be told that it is too much.
_REFUSALS = 8


async def compose(service: Service, settings: BrowserSettings) -> None:
    limits = settings.read_limits()
    policy = settings.address_policy()
    names = await service.enter(open_threads(NAMES_AT_ONCE, "names"))
    proxy = await service.enter(open_proxy(policy, resolving_in(names)))
    chromium = await service.enter(
        open_chromium(
            executable=settings.browser_executable, proxy_url=proxy.url, idle_s=settings.browser_idle_s
        )
    )
    service.check("chromium", chromium.check)
    service.spawn(chromium.close_when_idle)
    reader = PageReader(policy=policy, proxy=proxy, chromium=chromium, limits=limits)
    handlers = BrowserHandlers(reader, ReadMetrics(service.metrics))
    bind(
        service,
        handlers,
        concurrency=limits.concurrency + limits.queue + _REFUSALS,
    )
    hosts = settings.http_hosts()
    exchanger = Exchanger(
        policy,
        resolve=resolving_in(names),
        within_s=settings.browser_http_timeout_s,
        answer_bytes=settings.browser_http_answer_bytes,
    )
    http = HttpTool(hosts, exchanger) if hosts else None
    await offer_tools(service, handlers, http, concurrency=limits.concurrency)


def main() -> None:
    run_service("browser", BrowserSettings, compose, claims=open_claims)


if __name__ == "__main__":
    main()
