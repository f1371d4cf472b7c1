# SPDX-License-Identifier: Apache-2.0
"""The attacks themselves, each a function of (attack, rounds) that returns figures. Run by ssrf_inside.py."""
import contextlib
import socket
import subprocess

import ssrf_net
import vg
from ssrf_corpus import INNER4, INNER6, bypasses, ordinary
from ssrf_net import DEAD4, ODD, OTHER4, PUBLIC4, PUBLIC6, redirect

INNER = INNER4 + INNER6
GROWTH = 64 << 20  # what an attack may add to a program's memory


def _bad(told, good):
    return [f"{item!r}: {answer}" for item, answer in told if not good(answer)]


def _world(attack):
    """Service, bridge, database: for what registration says."""
    import ssrf_inside

    env = {**ssrf_inside.SMALL, "VIDEOGATE_IMAGE_ALLOW_HTTP": "true", "VIDEOGATE_IMAGE_ALLOW_ANY_PORT": "true"}
    world = attack.world = ssrf_inside.Guarded(attack.folder / "world", env=env)
    return world


def _doors(world):
    """{field: a function from an address to the create or update that names it}."""
    endpoint = world.http("POST", "/v1/webhook_endpoints", {"url": "https://public.test/", "name": "one", "event_types": ["video.completed"]})
    assert endpoint.status == 200, endpoint.body
    where = f"/v1/webhook_endpoints/{endpoint.json['id']}"

    def create(**fields):
        return world.http("POST", "/v1/videos", {"model": "sandbox-instant", "prompt": "x", "seconds": 1, "size": "160x90", **fields})

    return {"callback_url": lambda url: create(callback_url=url, callback_secret="s3cret"),
            "url": lambda url: world.http("POST", where, {"url": url}),
            "image": lambda url: create(image={"image_url": url}),
            "reference_images": lambda url: create(reference_images=[{"image_url": url}]),
            "reference_videos": lambda url: create(reference_videos=[{"url": url}]),
            "reference_audios": lambda url: create(reference_audios=[{"url": url}])}


def strings(attack, rounds):
    """Every bypass string at every door and again at the socket's side; ordinary addresses pass."""
    inner, tricks, plain = attack.control(), bypasses(), ordinary(1000)
    sender, worker = attack.sender("webhook-alone"), attack.worker()
    figures = {"inner_addresses": inner, "bypass_strings": len(tricks), "refused_at_send": 0, "refused_at_registration": 0}
    bad = _bad(attack.all(sender.deliver, tricks), lambda answer: answer.startswith("refused:"))
    assert not bad, f"the webhook sender did not refuse {len(bad)}: {bad[:5]}"
    some = tricks if not attack.short else attack.dice.sample(tricks, 200)
    bad = _bad(attack.all(worker.fetch, some), lambda answer: answer.startswith("error:"))
    assert not bad, f"the worker did not refuse {len(bad)}: {bad[:5]}"
    figures["refused_at_send"] = len(tricks) + len(some)
    plainly = [one.replace("https://", "http://", 1).replace("HTTPS://", "HTTP://", 1).replace(":443", "") for one in plain]
    told = attack.all(sender.deliver, plainly if not attack.short else attack.dice.sample(plainly, 300))
    bad = _bad(told, lambda answer: answer == "delivered")
    assert not bad, f"{len(bad)} ordinary addresses were not delivered to: {bad[:5]}"
    figures["ordinary_delivered"] = len(told)
    with _world(attack) as world:
        doors = _doors(world)
        for field, door in doors.items():
            some = tricks if field == "callback_url" or not attack.short else attack.dice.sample(tricks, 40)
            some = [one.replace("http://", "https://", 1) if field.startswith("reference_") else one for one in some]
            told = attack.all(door, some)
            bad = _bad(told, lambda answer: answer.status == 400)
            assert not bad, f"{field} took {len(bad)}: {bad[:5]}"
            figures["refused_at_registration"] += len(told)
        told = attack.all(doors["url"], plain if not attack.short else attack.dice.sample(plain, 250))
        bad = [f"{item}: {answer.status} {answer.body}" for item, answer in told if answer.status != 200]
        assert not bad, f"{len(bad)} ordinary addresses were refused: {bad[:5]}"
        figures["ordinary_registered"] = len(told)
        video = doors["callback_url"]("http://public.test/ok?whole-way").json["id"]
        vg.wait_for(lambda: any(path == "/ok?whole-way" for _, _, path in attack.web.requests), f"the callback of {video}", pause=0.05)
    assert not attack.web.inner
    return {**figures, "inner_reached": 0}


# --- names and answers that move ---

def _name_cases(attack):
    """[(name, what a POST there must come to)]: refused, delivered, or either, as long as nobody inside is reached."""
    records, cases = attack.names.records, []

    def case(label, told, good):
        name = f"{label}.moves.test"
        records[name] = told
        cases.append((name, good))

    for number, address in enumerate(INNER4):
        case(f"a{number}", [("A", address)], "refused")
        case(f"first-public{number}", [("A", DEAD4), ("A", address)], "not delivered")
        case(f"second-public{number}", [("A", address), ("A", PUBLIC4)], "either")
    for number, address in enumerate(INNER6):
        case(f"aaaa{number}", [("AAAA", address)], "refused")
        case(f"both{number}", [("A", PUBLIC4), ("AAAA", address)], "either")
    records["inner.test"] = [("A", "10.0.0.1"), ("AAAA", "fd00:ec2::254")]
    for length in range(1, 6):
        records[f"chain{length}.test"] = [("CNAME", "inner.test" if length == 1 else f"chain{length - 1}.test")]
        case(f"cname{length}", [("CNAME", f"chain{length}.test")], "refused")
    records["localhost"] = [("A", "127.0.0.1"), ("AAAA", "::1")]
    case("cname-localhost", [("CNAME", "localhost")], "refused")
    case("cname-metadata", [("CNAME", "metadata.google.internal")], "refused")
    records["metadata.google.internal"] = [("A", "169.254.169.254")]
    case("cname-loop", [("CNAME", "cname-loop.moves.test")], "not delivered")
    case("hundred-inner", [("A", f"10.0.{number}.1") for number in range(100)], "refused")
    case("hundred-mixed", [("A", f"10.0.{number}.1") for number in range(99)] + [("A", PUBLIC4)], "either")
    case("hundred-public", [("A", f"93.184.{number}.34") for number in range(100)], "delivered")
    case("nothing", [], "not delivered")
    case("public", [("A", PUBLIC4), ("AAAA", PUBLIC6)], "delivered")
    case("public6", [("AAAA", PUBLIC6)], "delivered")
    for number, address in enumerate(("127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0")):
        case(f"alternates{number}", lambda kind, count, address=address: [("A", PUBLIC4 if count % 2 else address)], "either")
        case(f"turns{number}", lambda kind, count, address=address: [("A", PUBLIC4 if count == 1 else address)], "either")
        case(f"six-turns{number}", lambda kind, count, address=address: [("A", PUBLIC4)] + ([] if count == 1 else [("AAAA", "::1"), ("A", address)]), "either")
    return cases


GOOD = {"refused": lambda answer: answer.startswith(("refused", "error")), "delivered": lambda answer: answer == "delivered",
        "not delivered": lambda answer: answer != "delivered", "either": lambda answer: answer is not None}
STATUSES = (301, 302, 303, 307, 308)
TARGETS = ("http://127.0.0.1/ok", "http://10.0.0.1/ok", "http://169.254.169.254/latest/meta-data/", "http://[::1]/ok", "http://[fd00:ec2::254]/ok",
           "http://[::ffff:10.0.0.1]/ok", "http://localhost/ok", "http://a0.moves.test/ok", "http://2130706433/ok", "http://0x7f.1/ok", "//10.0.0.1/ok",
           "/\\10.0.0.1/ok", "http://public.test@10.0.0.1/", "http://alternates1.moves.test/ok", "file:///etc/passwd", "ftp://10.0.0.1/", "gopher://127.0.0.1:80/_x",
           "dict://127.0.0.1:80/x", "javascript:alert(1)", "data:video/mp4;base64,AAAA", "unix:///run/x", "https://[::]/", "http://100.100.100.200/")


class Door:
    """Where an address goes in: `check` says what came of it, `path` is what answers well there; `enough` are odd answers that do, too."""

    def __init__(self, name, check, path, programs, odd=ODD, enough=(), odd_check=None):
        self.name, self.check, self.path, self.programs, self.odd, self.enough, self.odd_check = name, check, path, programs, odd, enough, odd_check or check


def _moves_through(attack, door, rounds, figures):
    """Names and redirects at one door; their number."""
    some = attack.cases if door.name == "webhook" or not attack.short else attack.dice.sample(attack.cases, 20)
    for _ in range(rounds):
        told = attack.all(lambda one: door.check(f"http://{one[0]}{door.path}"), some)
        bad = [f"{name}: {answer}, not {good}" for (name, good), answer in told if not GOOD[good](answer)]
        assert not bad, f"{door.name}: {bad[:5]}"
        figures["attempts"] += len(told)
    hops = [redirect(status, target) for status in STATUSES for target in TARGETS]
    hops = [*(hops if not attack.short or door.name == "webhook" else attack.dice.sample(hops, 30)), "http://public.test/loop"]
    bad = _bad(attack.all(door.check, hops), GOOD["not delivered"])
    assert not bad, f"{door.name}, redirects: {bad[:5]}"
    return len(some) + len(hops)


def _odd_through(attack, door, figures):
    """Odd answers at one door: memory stays, and it works afterwards; their number."""
    before = {one.name: one.usage()["rss"] for one in door.programs}
    told = attack.all(door.odd_check, [f"http://public.test/odd/{name}" for name in door.odd])
    grown = {one.name: one.usage()["rss"] - before[one.name] for one in door.programs}
    figures[f"{door.name}_memory_mb"] = max(0, max(grown.values()) >> 20)
    assert max(grown.values()) <= GROWTH, f"{door.name}: memory grew by {grown}"
    bad = _bad([one for one in told if not one[0].endswith(tuple(door.enough))], GOOD["not delivered"])
    assert not bad, f"{door.name}, odd answers: {bad[:5]}"
    ok = door.check(f"http://public.test{door.path}")
    assert ok == "delivered", f"{door.name} does not work any more: {ok}"
    return len(told)


def moves(attack, rounds):
    """Names that change, redirects, connections that are used again, odd answers: through sender, worker, and (in the long form) pictures."""
    inner, sender, worker = attack.control(), attack.sender("webhook-alone"), attack.worker()
    figures, attack.cases = {"inner_addresses": inner, "dynamic_cases": 0, "attempts": 0}, _name_cases(attack)
    doors = [Door("webhook", lambda url: sender.deliver(url, 3000), "/keep", [sender.process], enough=ODD),  # it needs no more than a status
             Door("result", worker.fetch, "/film", [worker.process], enough=("length_too_short", "length_twice", "gzip_bomb", "header_bomb"),
                  odd_check=lambda url: worker.fetch(url, 3))]
    with contextlib.ExitStack() as stack:
        if not attack.short:
            world = stack.enter_context(_world(attack))
            picture = _doors(world)["image"]

            def pictured(url):
                answer = picture(url)
                return "delivered" if answer.status == 200 else f"error:{answer.status}"

            doors.append(Door("picture", pictured, "/picture", [world.processes["service"]]))
        for door in doors:
            figures["dynamic_cases"] += _moves_through(attack, door, rounds, figures)
        for door in doors:
            figures["dynamic_cases"] += _odd_through(attack, door, figures)
    figures["dynamic_cases"] += _reuse(attack, sender) + _lists(attack)
    assert not attack.web.inner, attack.web.inner[:5]
    return {**figures, "inner_reached": 0}


def _reuse(attack, sender):
    """A connection or a name that is remembered, and then the name leads inside: what is public is used again, or it is refused."""
    records, count = attack.names.records, 0
    for number, address in enumerate(("127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00:ec2::254", "::1")):
        for path in ("/keep", "/ok"):
            name = f"reuse{number}{path[1:]}.test"
            records[name] = [("A", PUBLIC4)]
            assert sender.deliver(f"http://{name}{path}") == "delivered"
            records[name] = [("AAAA" if ":" in address else "A", address)]
            answers = [answer for _, answer in attack.all(sender.deliver, [f"http://{name}{path}"] * 3)]
            assert all(one == "delivered" or one.startswith("refused") for one in answers), answers
            count += 1
    return count


def _lists(attack):
    """The egress list and our own ports."""
    listed = attack.sender("webhook-listed", "--egress", f"listed.test,.zone.test,{OTHER4}/32")
    attack.names.records |= {"elsewhere.test": [("A", OTHER4)], "listed-inside.zone.test": [("A", "10.0.0.1")], "x.test": [("A", PUBLIC4)]}
    cases = {"http://listed.test/ok": "delivered", "http://zone.test/ok": "delivered", "http://a.b.zone.test/ok": "delivered", f"http://{OTHER4}/ok": "delivered",
             "http://elsewhere.test/ok": "delivered", "http://x.test/ok": "refused", f"http://{PUBLIC4}/ok": "refused", "http://sub.listed.test/ok": "refused",
             "http://listed.test.evil.test/ok": "refused", "http://listed-inside.zone.test/ok": "refused", "http://localhost/ok": "refused"}
    bad = [f"{url}: {answer}" for url, answer in attack.all(listed.deliver, list(cases)) if not GOOD[cases[url]](answer)]
    assert not bad, f"egress list: {bad}"
    wide = attack.sender("webhook-wide", "--allow-nets", "0.0.0.0/0,::/0")
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1.2.3"):
        answer = wide.deliver(f"http://{host}:{wide.monitor}/metrics")
        assert answer.startswith("refused"), f"it called itself at {host}: {answer}"
        cases[host] = 1
    return len(cases)


# --- the second layer ---

FIREWALL = vg.ROOT / "deploy/firewall/egress.nft"
ANYWHERE = "0.0.0.0/0,::/0"
# Who may connect where, once the firewall is there; the peers are the file's own examples.
CONNECTS = (("videogate-service", "127.0.0.1", 5432, True), ("videogate-service", "127.0.0.1", 8086, True), ("videogate-service", "127.0.0.1", 8100, True),
            ("videogate-service", "127.0.0.1", 80, False), ("videogate-service", "169.254.169.254", 80, False), ("videogate-service", PUBLIC4, 80, True),
            ("videogate-bridge", "127.0.0.1", 8082, True), ("videogate-bridge", "127.0.0.1", 5432, False), ("videogate-bridge", PUBLIC4, 80, False),
            ("videogate-webhook", "127.0.0.1", 5432, False), ("videogate-worker-kling", "127.0.0.1", 5432, False), ("videogate-webhook", PUBLIC4, 8080, False),
            ("videogate-webhook", PUBLIC4, 443, True), ("videogate-webhook", PUBLIC6, 80, True), ("videogate-worker-kling", PUBLIC6, 443, True))


def _connects(user, address, port):
    script = f"import socket; socket.create_connection(({address!r}, {port}), 5)"
    return subprocess.run([*ssrf_net.as_user(user), "/usr/bin/python3", "-c", script], capture_output=True).returncode == 0


def firewall(attack, rounds):
    """The guard is switched off: the firewall alone keeps the programs out, and lets public addresses through."""
    attack.control()
    for port in (5432, 8082, 8086, 8100):
        listener = socket.create_server(("127.0.0.1", port))
        listener.listen(64)
        attack.kept = [*getattr(attack, "kept", []), listener]
    sender = attack.sender("webhook-unguarded", "--allow-nets", ANYWHERE, prefix=ssrf_net.as_user("videogate-webhook"))
    worker = attack.worker("--result-allow-nets", ANYWHERE, prefix=ssrf_net.as_user("videogate-worker-kling"))
    urls = [f"http://{one if '.' in one and ':' not in one else f'[{one}]'}/film" for one in INNER]
    names = [name for name, _ in _name_cases(attack) if not name.startswith("hundred")]
    urls += [f"http://{name}/film" for name in (attack.dice.sample(names, 20) if attack.short else names)]
    for url in urls[:len(INNER)]:
        sender.deliver(url), worker.fetch(url)
    reached = len(attack.web.inner)
    assert reached > 25, f"without a firewall only {reached} inner addresses were reached: this test would say nothing"
    attack.web.inner.clear()
    loaded = subprocess.run(["nft", "-f", FIREWALL], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert subprocess.run(["nft", "-f", FIREWALL]).returncode == 0, "it cannot be loaded a second time"
    for check in (sender.deliver, worker.fetch):
        attack.all(check, urls)
        assert check("http://public.test/film") == "delivered"
        assert check(f"http://[{PUBLIC6}]/film") == "delivered"
    wrong = [one for one in CONNECTS if _connects(*one[:3]) is not one[3]]
    assert not attack.web.inner, attack.web.inner[:5]
    assert not wrong, f"who, where, port, should: {wrong}"
    return {"reached_without_it": reached, "attempts": 2 * len(urls), "connects_checked": len(CONNECTS), "inner_reached": 0}
