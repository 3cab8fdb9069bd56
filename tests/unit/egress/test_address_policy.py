from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley_contracts.errors import ErrorCode, ParleyError
from parley_egress.address_policy import (
    AddressPolicy,
    HostPort,
    parse_allow_hosts,
    parse_host,
    parse_networks,
    refusal_of_address,
    target_of_url,
)

REFUSED_URLS = [
    # IPv4 and what surrounds it in URLs
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/admin?x=1#y",
    "https://127.255.255.254/",
    "HTTP://127.0.0.1/",
    "http://127.0.0.1./",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://169.254.1.1/",
    "http://192.0.0.1/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.7/",
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    # cloud metadata
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    # other spellings of IPv4 addresses
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0x/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://169.16689662/",
    "http://%31%32%37.0.0.1/",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    # IPv6
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]:8000/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[febf::1]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[fdff::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[4000::1]/",
    # IPv6 that carries IPv4
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::8.8.8.8]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    # names that are never public
    "http://localhost/",
    "http://LOCALHOST:3000/",
    "http://localhost./",
    "http://api.localhost/",
    "http://printer.local/",
    "http://router.home.arpa/",
]

INVALID_URLS = [
    "",
    "example.com",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/html,hello",
    "chrome://settings",
    "view-source:http://example.com/",
    "http://",
    "http:///path",
    "http://user@example.com/",
    "http://user:secret@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://exa mple.com/",
    "http://example.com/\r\nX: y",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:http/",
    "http://256.0.0.1/",
    "http://1.2.3.4.5/",
    "http://0x100000000/",
    "http://08.0.0.1/",
    "http://1..2/",
    "http://[::1/",
    "http://[fe80::1%25eth0]/",
    "http://[12345::]/",
    "http://a<b>.com/",
]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_an_address_that_is_not_public_is_refused_in_every_spelling(url: str) -> None:
    with pytest.raises(ParleyError) as caught:
        AddressPolicy().check_url(url)
    assert (caught.value.code, caught.value.field) == (ErrorCode.REFUSED_ADDRESS, "url")


@pytest.mark.parametrize("url", INVALID_URLS)
def test_what_is_no_public_web_address_is_an_invalid_request(url: str) -> None:
    with pytest.raises(ParleyError) as caught:
        AddressPolicy().check_url(url)
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_REQUEST, "url")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.com", HostPort("example.com", 80)),
        ("https://EXAMPLE.com:8443/a?b#c", HostPort("example.com", 8443)),
        ("https://example.com./", HostPort("example.com", 443)),
        ("https://mylocal/", HostPort("mylocal", 443)),
        ("https://notlocalhost.example/", HostPort("notlocalhost.example", 443)),
        ("http://8.8.8.8/", HostPort("8.8.8.8", 80)),
        ("http://134744072/", HostPort("8.8.8.8", 80)),
        ("http://172.15.255.255/", HostPort("172.15.255.255", 80)),
        ("http://172.32.0.0/", HostPort("172.32.0.0", 80)),
        ("http://100.128.0.1/", HostPort("100.128.0.1", 80)),
        ("http://[2606:4700::1111]/", HostPort("2606:4700::1111", 80)),
        ("http://[::ffff:8.8.8.8]/", HostPort("::ffff:808:808", 80)),
        ("http://[64:ff9b::8.8.8.8]/", HostPort("64:ff9b::808:808", 80)),
        ("https://bücher.example/", HostPort("bücher.example", 443)),
    ],
)
def test_a_public_address_is_let_through_as_host_and_port(url: str, target: HostPort) -> None:
    found = AddressPolicy().check_url(url)
    assert found.port == target.port
    assert parse_host(found.host) == parse_host(target.host)


def test_one_private_address_among_public_ones_refuses_a_name() -> None:
    target = HostPort("example.com", 443)
    policy = AddressPolicy()
    assert policy.refusal_of_resolved(target, [ip_address("8.8.8.8"), ip_address("1.1.1.1")]) is None
    assert policy.refusal_of_resolved(target, [ip_address("8.8.8.8"), ip_address("10.0.0.1")]) == "private"
    assert policy.refusal_of_resolved(target, [ip_address("fe80::1%eth0")]) == "link-local"
    assert policy.refusal_of_resolved(target, [ip_address("2606:4700::1111%eth0")]) is not None


def test_only_the_exact_allowed_host_and_port_is_excepted() -> None:
    policy = AddressPolicy(parse_allow_hosts("127.0.0.1:8123, [::1]:9000"))
    assert policy.check_url("http://127.0.0.1:8123/") == HostPort("127.0.0.1", 8123)
    assert policy.check_url("http://[::1]:9000/") == HostPort("::1", 9000)
    for url in (
        "http://127.0.0.1:8124/",
        "http://127.0.0.2:8123/",
        "http://[::1]:8123/",
        "http://localhost:8123/",
    ):
        with pytest.raises(ParleyError):
            policy.check_url(url)


@pytest.mark.parametrize("text", ["127.0.0.1", ":80", "127.0.0.1:0", "127.0.0.1:x", "a:1,b", "999.0.0.1:80"])
def test_an_allow_list_entry_that_is_not_host_and_port_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_allow_hosts(text)


def test_a_refusal_does_not_tell_what_kind_of_address_it_was() -> None:
    messages: set[str] = set()
    for url in ("http://127.0.0.1/", "http://10.1.2.3/", "http://metadata.google.internal/"):
        with pytest.raises(ParleyError) as caught:
            AddressPolicy().check_url(url)
        messages.add(caught.value.message)
    assert len(messages) == 1


@given(st.ip_addresses(v=4))
def test_what_passes_as_ipv4_is_global_unicast(address: IPv4Address) -> None:
    if refusal_of_address(address) is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_that_carries_ipv4_is_judged_by_it(address: IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        carrier = IPv6Address(int(IPv6Address(prefix)) | int(address))
        assert refusal_of_address(carrier) == refusal_of_address(address)


@given(st.ip_addresses(v=4))
def test_every_numeric_spelling_of_an_address_is_the_same_target(address: IPv4Address) -> None:
    number = int(address)
    high, low = number >> 24, number & 0xFFFFFF
    for spelling in (f"{number}", f"{number:#x}", f"0{number:o}", f"{high}.{low}", f"{high:#x}.0{low:o}"):
        assert target_of_url(f"http://{spelling}/") == HostPort(str(address), 80)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_clear_error(text: str) -> None:
    for url in (text, f"http://{text}/"):
        with suppress(ParleyError):
            assert 0 < AddressPolicy().check_url(url).port < 65536


NETWORKS = AddressPolicy(allow_networks=parse_networks("10.1.0.0/16, fd00:1::/32"))


@pytest.mark.parametrize(
    ("host", "is_reached"),
    [
        ("10.1.2.3", True),
        ("[::ffff:10.1.2.3]", True),
        ("[fd00:1::5]", True),
        ("93.184.216.34", True),
        ("10.2.0.1", False),
        ("127.0.0.1", False),
        ("[::ffff:10.2.0.1]", False),
        ("[fd00:2::5]", False),
        ("169.254.169.254", False),
        ("localhost", False),
        ("x.internal", False),
    ],
)
def test_a_network_that_is_named_is_reached_and_no_other(host: str, is_reached: bool) -> None:
    target = target_of_url(f"http://{host}/")
    assert (NETWORKS.refusal_of_target(target) is None) == is_reached


def test_one_address_outside_the_named_network_refuses_all() -> None:
    target = HostPort("hooks.example.org", 443)
    inside, outside = ip_address("10.1.0.9"), ip_address("10.2.0.9")
    assert NETWORKS.refusal_of_resolved(target, [inside]) is None
    assert NETWORKS.refusal_of_resolved(target, [inside, outside]) == "private"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_networks(text)
