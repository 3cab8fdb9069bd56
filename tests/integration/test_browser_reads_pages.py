"""Real Chromium against sites on loopback; one exact host and port is allowed, everything else is private."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable

import pytest
import pytest_asyncio
from parley_browser.limits import ReadLimits
from parley_contracts.browser import PageText
from parley_contracts.errors import ErrorCode, ParleyError

from tests.fakes.web_site import (
    Browser,
    Site,
    Trap,
    commands,
    driver_processes,
    hold,
    http_response,
    open_browser,
    redirect,
)

# One Chromium for the module: starting it takes longer than most reads.
pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_site() -> AsyncGenerator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


@pytest.fixture
def site(module_site: Site) -> Site:
    module_site.pages.clear()
    module_site.asked.clear()
    module_site.has_been_asked.clear()
    return module_site


@pytest_asyncio.fixture(loop_scope="module")
async def trap() -> AsyncGenerator[Trap]:
    trap = Trap()
    server = await asyncio.start_server(trap.serve, "127.0.0.1", 0)
    trap.port = server.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: trap, local_addr=("127.0.0.1", trap.port)
    )
    yield trap
    transport.close()
    server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(module_site: Site) -> AsyncGenerator[Browser]:
    async with open_browser(module_site) as browser:
        yield browser


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - processes end without telling this loop
            await asyncio.sleep(0.02)


async def test_text_written_by_a_script_is_read(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response(
        "<title> A  page </title><p>old</p><script>fetch('/more').then(r => r.text())"
        ".then(t => { document.querySelector('p').textContent = t })</script>"
    )
    site.pages["/more"] = http_response("fetched by script")
    page = await browser.read(f"{site.url}/")
    assert (page.title, page.text, page.is_truncated) == ("A page", "fetched by script", False)
    assert page.url == f"{site.url}/"


async def test_a_long_text_is_cut_and_says_so(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response(f"<article><h1>Reef</h1><p>{'The reef is wide. ' * 500}</p></article>")
    site.pages["/plain"] = http_response("\U0001f600" * 500, content_type="text/plain; charset=utf-8")
    page = await browser.read(f"{site.url}/", max_chars=100)
    assert len(page.text) == 100
    assert page.is_truncated
    plain = await browser.read(f"{site.url}/plain", max_chars=101)
    assert plain.is_truncated
    assert PageText.model_validate_json(plain.model_dump_json()) == plain


async def test_an_allowed_redirect_is_followed(site: Site, browser: Browser) -> None:
    site.pages["/old"] = redirect("/new")
    site.pages["/new"] = http_response("<script>location = '/newest'</script>")
    site.pages["/newest"] = http_response("arrived")
    page = await browser.read(f"{site.url}/old")
    assert (page.url, page.text) == (f"{site.url}/newest", "arrived")


@pytest.mark.parametrize("start", ["http://", "https://", "http://user:password@"])
async def test_a_redirect_to_a_private_address_is_refused(
    site: Site, trap: Trap, browser: Browser, start: str
) -> None:
    site.pages["/"] = redirect(f"{start}127.0.0.1:{trap.port}/")
    error = await browser.error_of(f"{site.url}/")
    assert (error.code, error.field) == (ErrorCode.REFUSED_ADDRESS, "url")
    assert trap.visits == 0


@pytest.mark.parametrize(
    "page",
    [
        "<script>location = 'http://127.0.0.1:{port}/'</script>",
        "<script>location = 'https://127.0.0.1:{port}/'</script>",
        "<meta http-equiv=refresh content='0; url=http://127.0.0.1:{port}/'>",
        "<form id=f method=post action='http://127.0.0.1:{port}/'></form><script>f.submit()</script>",
    ],
)
async def test_a_page_that_leads_on_to_a_private_address_is_refused(
    site: Site, trap: Trap, browser: Browser, page: str
) -> None:
    site.pages["/"] = http_response(page.format(port=trap.port))
    error = await browser.error_of(f"{site.url}/")
    assert error.code is ErrorCode.REFUSED_ADDRESS
    assert trap.visits == 0


async def test_a_private_address_is_refused_without_starting_chromium(site: Site) -> None:
    async with open_browser(site) as browser:
        error = await browser.error_of(f"http://localhost:{site.port}/")
        assert not browser.chromium.is_running
    assert error.code is ErrorCode.REFUSED_ADDRESS


EVASIONS = """
<p>start</p><iframe src="http://127.0.0.1:PORT/frame"></iframe><script src="http://127.0.0.1:PORT/s.js"></script>
<link rel=stylesheet href="http://localhost:PORT/s.css"><link rel=preconnect href="http://127.0.0.1:PORT">
<link rel=dns-prefetch href="//127.0.0.1:PORT"><object data="http://127.0.0.1:PORT/o"></object>
<video src="http://127.0.0.1:PORT/v.mp4" autoplay></video><img src="http://127.0.0.1:PORT/i.png">
<script>
const tries = [];
const awaited = ["fetch-ended", "gathered", "socket-failed", "transport-failed", "worker-ended"];
const holding = new AbortController();
fetch("/hold", {signal: holding.signal}).catch(() => 0);
const port = PORT;
const seen = (name) => { tries.push(name); document.querySelector("p").textContent = tries.sort().join(" ");
  if (awaited.every((one) => tries.includes(one))) holding.abort(); };
const end = (name) => () => seen(name);
for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])
  for (const scheme of ["http", "https"])
    fetch(`${scheme}://${host}:${port}/`, {mode: "no-cors"}).then(end("fetch-ended"), end("fetch-ended"));
const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
socket.onopen = end("socket-open"); socket.onerror = end("socket-failed");
navigator.sendBeacon(`http://127.0.0.1:${port}/beacon`, "x");
window.open(`http://127.0.0.1:${port}/popup`);
try {
  const peer = new RTCPeerConnection({iceServers: [
    {urls: `stun:127.0.0.1:${port}`},
    {urls: `turn:127.0.0.1:${port}?transport=udp`, username: "u", credential: "c"},
    {urls: `turn:127.0.0.1:${port}?transport=tcp`, username: "u", credential: "c"},
  ]});
  peer.createDataChannel("x");
  peer.createOffer().then((offer) => peer.setLocalDescription(offer));
  peer.onicegatheringstatechange = () => { if (peer.iceGatheringState === "complete") seen("gathered") };
} catch (error) { seen("no-webrtc") }
try {
  new WebTransport(`https://127.0.0.1:${port}/`).ready.then(end("transport-open"), end("transport-failed"));
} catch (error) { seen("transport-failed") }
const code = `fetch("http://127.0.0.1:${port}/worker", {mode: "no-cors"})
  .then(() => postMessage("worker-ended"), () => postMessage("worker-ended"))`;
new Worker(URL.createObjectURL(new Blob([code]))).onmessage = (message) => seen(message.data);
</script>
"""


async def test_no_way_of_fetching_reaches_a_private_address_and_the_page_is_still_read(
    site: Site, trap: Trap
) -> None:
    site.pages["/"] = http_response(EVASIONS.replace("PORT", str(trap.port)))
    site.pages["/hold"] = hold
    async with open_browser(site, ReadLimits(quiet_timeout_s=12.0)) as browser:
        page = await browser.read(f"{site.url}/")
    assert trap.visits == 0
    tried = set(page.text.split())
    assert {"fetch-ended", "socket-failed", "worker-ended", "transport-failed", "gathered"} <= tried
    assert not {"socket-open", "transport-open"} & tried


async def test_one_read_leaves_nothing_for_the_next(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response(
        "<p></p><script>document.querySelector('p').textContent ="
        "`saw ${document.cookie}|${localStorage.x ?? ''}`;"
        "document.cookie = 'a=b; max-age=9999'; localStorage.x = 'y'</script>"
    )
    for _ in range(2):
        assert (await browser.read(f"{site.url}/")).text == "saw |"


async def test_an_error_status_is_told(site: Site, browser: Browser) -> None:
    error = await browser.error_of(f"{site.url}/missing")
    assert error.code is ErrorCode.UPSTREAM_FAILED
    assert "404" in error.message
    assert not error.retryable


async def test_a_site_that_closes_without_an_answer_is_an_upstream_failure(
    site: Site, browser: Browser
) -> None:
    site.pages["/"] = b""
    assert (await browser.error_of(f"{site.url}/")).code is ErrorCode.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("application/pdf", ""),
        ("application/octet-stream", ""),
        ("image/png", ""),
        ("application/zip", "Content-Disposition: attachment; filename=a.zip\r\n"),
    ],
)
async def test_what_is_not_a_page_of_text_is_unsupported(
    site: Site, browser: Browser, content_type: str, headers: str
) -> None:
    site.pages["/"] = http_response(b"%PDF-1.4 \x00\x01", content_type=content_type, headers=headers)
    error = await browser.error_of(f"{site.url}/")
    assert error.code is ErrorCode.UNSUPPORTED_TYPE
    assert content_type in error.message


async def test_plain_text_is_read_as_it_is(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response("one\n\n<b>two</b>\n", content_type="text/plain")
    assert (await browser.read(f"{site.url}/")).text == "one\n\n<b>two</b>"


async def test_a_page_that_never_answers_times_out(site: Site) -> None:
    site.pages["/"] = hold
    async with open_browser(site, ReadLimits(navigation_timeout_s=1.0)) as browser:
        assert (await browser.error_of(f"{site.url}/")).code is ErrorCode.TIMEOUT


async def test_a_page_that_never_stops_fetching_is_read_as_it_is(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response("<p>readable</p><script>fetch('/hold').then(r => r.text())</script>")
    site.pages["/hold"] = hold
    assert (await browser.read(f"{site.url}/")).text == "readable"


async def test_a_script_that_never_ends_times_out_and_the_next_page_is_read(site: Site) -> None:
    site.pages["/"] = http_response("<p>busy</p><script>setTimeout(() => { for (;;); }, 0)</script>")
    site.pages["/next"] = http_response("next")
    limits = ReadLimits(navigation_timeout_s=8.0, quiet_timeout_s=0.5, read_timeout_s=10.0)
    async with open_browser(site, limits) as browser:
        assert (await browser.error_of(f"{site.url}/")).code is ErrorCode.TIMEOUT
        assert (await browser.read(f"{site.url}/next")).text == "next"


async def test_an_alert_does_not_hold_the_page_up(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response(
        "<p>before</p><script>alert('x'); confirm('y'); prompt('z'); onbeforeunload = () => 'stay';"
        "document.querySelector('p').textContent = 'after'</script>"
    )
    assert (await browser.read(f"{site.url}/")).text == "after"


async def test_a_page_cannot_hide_or_forge_what_is_read(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response(
        "<title>true title</title><form name=title></form><form name=body></form><img name=documentElement>"
        "<p>true text</p><script>String.prototype.slice = () => 'forged';"
        "Object.getOwnPropertyDescriptor = null;"
        "Object.defineProperty(HTMLElement.prototype, 'innerText', {get: () => 'forged'});</script>"
    )
    page = await browser.read(f"{site.url}/")
    assert (page.title, page.text) == ("true title", "true text")


async def test_a_document_beyond_the_byte_limit_is_too_large(site: Site) -> None:
    site.pages["/"] = http_response("<p>x</p>" * 200_000)
    async with open_browser(site, ReadLimits(max_page_bytes=100_000, quiet_timeout_s=0.5)) as browser:
        assert (await browser.error_of(f"{site.url}/")).code is ErrorCode.TOO_LARGE


async def test_a_page_that_leads_on_to_nothing_is_an_upstream_failure(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response("<script>onload = () => { location = '/nothing' }</script>")
    site.pages["/nothing"] = b""
    error = await browser.error_of(f"{site.url}/")
    assert error.code is ErrorCode.UPSTREAM_FAILED


async def test_a_document_that_breaks_off_is_an_upstream_failure(site: Site, browser: Browser) -> None:
    site.pages["/"] = http_response("<p>half of it" * 1000)[:-500]
    error = await browser.error_of(f"{site.url}/")
    assert error.code is ErrorCode.UPSTREAM_FAILED


async def test_a_page_that_asks_for_too_much_is_cut_off_and_read(site: Site) -> None:
    site.pages["/"] = http_response(
        "<p>flood</p><script>for (let n = 0; n < 500; n++) fetch('/many/' + n)</script>"
    )
    async with open_browser(site, ReadLimits(max_requests=50, quiet_timeout_s=1.0)) as browser:
        assert (await browser.read(f"{site.url}/")).text == "flood"
    assert len(site.asked) < 100


async def test_a_killed_chromium_fails_the_read_and_the_next_one_starts_another(
    site: Site, browser: Browser
) -> None:
    site.pages["/hold"] = hold
    site.pages["/"] = http_response("alive")
    reading = asyncio.ensure_future(browser.error_of(f"{site.url}/hold"))
    await asyncio.wait_for(site.has_been_asked.wait(), 10)
    (killed,) = browser.main_processes()
    os.kill(killed, signal.SIGKILL)
    error = await asyncio.wait_for(reading, 10)
    assert (error.code, error.retryable) == (ErrorCode.UNAVAILABLE, True)
    assert (await browser.read(f"{site.url}/")).text == "alive"
    assert browser.main_processes() != [killed]


async def test_a_killed_driver_is_replaced(site: Site) -> None:
    site.pages["/"] = http_response("alive")
    async with open_browser(site) as browser:
        before = driver_processes()
        await browser.read(f"{site.url}/")
        started = browser.processes()
        (driver,) = driver_processes() - before
        os.kill(driver, signal.SIGKILL)
        await until(lambda: not browser.processes())
        assert (await browser.read(f"{site.url}/")).text == "alive"
    await until(lambda: not set(started) & {pid for pid, _ in commands()})


async def test_reads_share_one_chromium_and_do_not_mix(site: Site, browser: Browser) -> None:
    for number in range(4):
        site.pages[f"/{number}"] = http_response(f"page {number}")
    pages = await asyncio.gather(*(browser.read(f"{site.url}/{number}") for number in range(4)))
    assert [page.text for page in pages] == [f"page {number}" for number in range(4)]
    assert len(browser.main_processes()) == 1


async def test_a_cancelled_read_leaves_the_browser_usable(site: Site, browser: Browser) -> None:
    site.pages["/hold"] = hold
    site.pages["/"] = http_response("alive")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4):
            await browser.read(f"{site.url}/hold")
    assert (await browser.read(f"{site.url}/")).text == "alive"


async def test_an_idle_chromium_is_closed_and_started_again(site: Site) -> None:
    site.pages["/"] = http_response("alive")
    async with open_browser(site, idle_s=0.2) as browser, asyncio.TaskGroup() as tasks:
        closing = tasks.create_task(browser.chromium.close_when_idle())
        for _ in range(2):
            assert (await browser.read(f"{site.url}/")).text == "alive"
            await until(lambda: not browser.processes())
        closing.cancel()


async def test_closing_leaves_no_chromium_process_behind(site: Site) -> None:
    site.pages["/"] = http_response("alive")
    async with open_browser(site) as browser:
        await browser.read(f"{site.url}/")
        started = browser.processes()
        assert len(started) > 1
    await until(lambda: not set(started) & {pid for pid, _ in commands()})


async def test_without_chromium_the_error_says_how_to_get_it(site: Site) -> None:
    async with open_browser(site, executable="/nonexistent/chromium") as browser:
        error = await browser.error_of(f"{site.url}/")
        with pytest.raises(ParleyError) as caught:
            await browser.chromium.check()
    for found in (error, caught.value):
        assert found.code is ErrorCode.UNAVAILABLE
        assert "install" in found.message
