"""Settings of the browser service, read once from the environment."""

from parley_egress.address_policy import AddressPolicy, parse_allow_hosts
from parley_messaging import ServiceSettings
from pydantic import Field, field_validator

from parley_browser.http_hosts import HttpHosts, parse_http_hosts
from parley_browser.limits import ReadLimits


class BrowserSettings(ServiceSettings):
    """What may be read, how much of it, and for how long."""

    browser_executable: str | None = Field(
        default=None,
        description="Chromium's program; by default chromium, chromium-browser or google-chrome from PATH.",
    )
    browser_allow_hosts: str = Field(
        default="",
        description="For tests only: exact host:port pairs, comma-separated, allowed although private.",
    )
    browser_http_hosts: str = Field(
        default="",
        description="Hosts that http_request may ask, comma-separated: host, host:port or *.host; none.",
    )
    browser_http_timeout_s: float = Field(
        default=15.0, gt=0, description="Seconds in which a request of http_request must be over."
    )
    browser_http_answer_bytes: int = Field(
        default=256 * 1024, gt=0, le=4 * 1024 * 1024, description="Bytes of an answer that it reads."
    )
    browser_concurrency: int = Field(default=2, ge=1, le=64, description="Pages read at the same time.")
    browser_queue: int = Field(
        default=8,
        ge=0,
        le=1024,
        description="Reads that may wait for a place; more are refused as overloaded.",
    )
    browser_idle_s: float = Field(
        default=120.0, gt=0, description="Seconds without a read after which Chromium is closed."
    )
    browser_navigation_timeout_s: float = Field(
        default=15.0, gt=0, description="Seconds in which a page's document must have loaded."
    )
    browser_quiet_timeout_s: float = Field(
        default=3.0, ge=0, description="Seconds a loaded page may go on fetching before it is read as it is."
    )
    browser_read_timeout_s: float = Field(
        default=30.0, gt=0, description="Seconds in which a read must be over, waiting for a place included."
    )
    browser_max_page_bytes: int = Field(
        default=20 * 1024 * 1024, gt=0, description="Bytes a read may receive; then its connections are cut."
    )
    browser_max_requests: int = Field(
        default=400, gt=0, description="Requests one read may make; then its connections are cut."
    )
    browser_max_html_chars: int = Field(
        default=3_000_000,
        gt=0,
        description="Rendered HTML longer than this is read as its plain inner text.",
    )

    @field_validator("browser_allow_hosts")
    @classmethod
    def _is_a_list_of_hosts(cls, value: str) -> str:
        parse_allow_hosts(value)
        return value

    @field_validator("browser_http_hosts")
    @classmethod
    def _is_a_list_of_http_hosts(cls, value: str) -> str:
        parse_http_hosts(value)
        return value

    def http_hosts(self) -> HttpHosts:
        return parse_http_hosts(self.browser_http_hosts)

    def address_policy(self) -> AddressPolicy:
        return AddressPolicy(parse_allow_hosts(self.browser_allow_hosts))

    def read_limits(self) -> ReadLimits:
        return ReadLimits(
            concurrency=self.browser_concurrency,
            queue=self.browser_queue,
            navigation_timeout_s=self.browser_navigation_timeout_s,
            quiet_timeout_s=self.browser_quiet_timeout_s,
            read_timeout_s=self.browser_read_timeout_s,
            max_page_bytes=self.browser_max_page_bytes,
            max_requests=self.browser_max_requests,
            max_html_chars=self.browser_max_html_chars,
        )
