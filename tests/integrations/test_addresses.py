"""Which addresses are of the public internet, and what the settings add to them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from integrations.addresses import AddressRules, Allowed, is_loopback, is_public
from workflow.errors import InvalidArgumentsError

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80e::200e",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_loopback_is_let_pass_only_where_that_is_said() -> None:
    local = AddressRules(allowed=(), is_loopback_allowed=True)
    remote = AddressRules(allowed=(), is_loopback_allowed=False)
    for text in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert is_loopback(ip_address(text))
        assert local.may_reach("x", ip_address(text), 80)
        assert not remote.may_reach("x", ip_address(text), 80)
    assert not local.may_reach("x", ip_address("10.0.0.1"), 80)
    assert not local.may_reach("x", ip_address("0.0.0.0"), 80)


@pytest.mark.parametrize(
    ("entry", "host", "address", "port", "is_let_pass"),
    [
        ("api.internal", "api.internal", "10.0.0.1", 80, True),
        ("api.internal", "API.Internal.", "10.0.0.1", 80, True),
        ("api.internal", "notapi.internal", "10.0.0.1", 80, False),
        ("api.internal:8080", "api.internal", "10.0.0.1", 80, False),
        ("api.internal:8080", "api.internal", "10.0.0.1", 8080, True),
        ("*.internal", "a.b.internal", "10.0.0.1", 80, True),
        ("*.internal", "internal", "10.0.0.1", 80, False),
        ("*.internal", "evilinternal", "10.0.0.1", 80, False),
        ("10.1.0.0/16", "whatever", "10.1.2.3", 80, True),
        ("10.1.0.0/16", "whatever", "10.2.2.3", 80, False),
        ("10.1.0.0/16", "whatever", "::ffff:10.1.2.3", 80, True),
        ("10.1.2.3:443", "10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3:443", "10.1.2.3", "10.1.2.3", 80, False),
        ("fd00::/8", "x", "fd12::1", 80, True),
        ("[fd00::/8]:443", "x", "fd12::1", 443, True),
        ("[fd00::/8]:443", "x", "fd12::1", 80, False),
        ("[::1]", "x", "::1", 80, True),
    ],
)
def test_the_settings_let_further_addresses_pass(
    entry: str, host: str, address: str, port: int, is_let_pass: bool
) -> None:
    rules = AddressRules(allowed=[entry], is_loopback_allowed=False)
    assert rules.may_reach(host, ip_address(address), port) is is_let_pass


@pytest.mark.parametrize("entry", ["", "10.1.2.3/8", "10.1.2.999", "http://a", "a b", "*", "*.*", "a/b", "a:x", "[::1"])
def test_an_entry_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        Allowed.parse(entry)
    assert caught.value.fix is not None
