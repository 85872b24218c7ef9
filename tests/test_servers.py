"""Where a server may send us on to: every way of writing an address in a private network is seen through."""

from __future__ import annotations

import pytest

from ruska.servers import addresses_of, forbidden, is_literal, kind_of, redirected


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "global"), ("2606:4700::1111", "global"), ("::ffff:8.8.8.8", "global"),
        ("64:ff9b::808:808", "global"),
        ("127.0.0.1", "loopback"), ("127.9.9.9", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"), ("2002:7f00:1::", "loopback"),
        ("10.0.0.1", "private"), ("172.16.0.1", "private"), ("192.168.1.1", "private"), ("100.64.0.1", "private"),
        ("fd00::1", "private"), ("fec0::1", "private"), ("::ffff:10.0.0.1", "private"), ("2002:a00:1::", "private"),
        ("169.254.169.254", "never"), ("fe80::1", "never"), ("fe80::1%eth0", "never"), ("0.0.0.0", "never"),
        ("::", "never"), ("224.0.0.1", "never"), ("ff02::1", "never"), ("255.255.255.255", "never"),
        ("240.0.0.1", "never"), ("::ffff:169.254.169.254", "never"), ("64:ff9b::a9fe:a9fe", "never"),
    ],
)  # fmt: skip
def test_kinds(address, kind):
    assert kind_of(address) == kind


@pytest.mark.parametrize("written", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "::1"])
def test_an_address_is_seen_through_however_it_is_written(written):
    assert is_literal(written)
    assert {kind_of(address) for address in addresses_of(written, 80)} == {"loopback"}


@pytest.mark.parametrize("name", ["localhost", "example.org", "a" * 300, "xn--", "1.2.3.4.example.org"])
def test_names_are_no_addresses(name):
    assert not is_literal(name)


@pytest.mark.parametrize("name", ["a" * 300, "a..b", "\udcff"])
def test_what_is_no_name_has_no_address(name):
    with pytest.raises(OSError):  # noqa: PT011  # its words are the system's
        addresses_of(name, 80)


def test_only_who_is_within_a_network_may_lead_there():
    assert not forbidden(["8.8.8.8", "2606:4700::1111"], {"global"})
    assert forbidden(["8.8.8.8", "10.0.0.1"], {"global"}) == "10.0.0.1"
    assert forbidden(["127.0.0.1"], {"global"}) == "127.0.0.1"
    assert forbidden(["127.0.0.1"], {"private"}) == "127.0.0.1"
    assert not forbidden(["10.0.0.1", "8.8.8.8"], {"private"})
    assert not forbidden(["127.0.0.1"], {"loopback"})
    for kinds in ({"global"}, {"private"}, {"loopback"}, {"never"}):
        assert forbidden(["169.254.169.254"], kinds)
        assert forbidden(["0.0.0.0"], kinds)


HERE = "https://lab.example.org/models/a/card.json"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b/card.json", "https://lab.example.org/b/card.json"), ("card2.json", "https://lab.example.org/models/a/card2.json"),
        ("https://LAB.example.org:443/c", "https://LAB.example.org:443/c"), ("//lab.example.org/d", "https://lab.example.org/d"),
        ("?x=1#part", "https://lab.example.org/models/a/card.json?x=1"),
    ],
)  # fmt: skip
def test_the_same_server_may_send_us_on(location, target):
    assert redirected(HERE, location, elsewhere=False) == target


@pytest.mark.parametrize(
    "location",
    ["https://other.org/a", "//other.org/a", "https://lab.example.org:8443/a", "https://lab.example.org.evil.org/",
     "https://127.0.0.1/"],
)  # fmt: skip
def test_another_server_only_for_what_is_checked(location):
    with pytest.raises(ValueError, match="another server"):
        redirected(HERE, location, elsewhere=False)
    assert redirected(HERE, location, elsewhere=True).startswith("https://")


@pytest.mark.parametrize(
    "location",
    ["http://lab.example.org/a", "http://other.org/a", "ftp://lab.example.org/a", "file:///etc/passwd", "data:,x",
     "javascript:1", "https://me:s3cret@lab.example.org/a", "https://me@lab.example.org/", "https://[::1/a",
     "https://lab.example.org:99999/", "https://lab.example.org:x/", "https://lab.example.org\\@other.org/", "gopher://x"],
)  # fmt: skip
@pytest.mark.parametrize("elsewhere", [False, True])
def test_no_server_may_send_us_there(location, elsewhere):
    with pytest.raises(ValueError, match="redirects to") as caught:
        redirected(HERE, location, elsewhere=elsewhere)
    assert "s3cret" not in str(caught.value)


def test_this_machine_may_stay_without_tls():
    assert redirected("http://127.0.0.1:80/a", "/b", elsewhere=False) == "http://127.0.0.1:80/b"
    assert redirected("http://127.0.0.1:80/a", "https://other.org/b", elsewhere=True) == "https://other.org/b"
