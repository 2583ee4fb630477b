"""The rating page as a server: what it refuses, what it keeps, and what it never tells."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import painted
import pandas as pd
import pytest
import yaml
from rooms import Client, Room, command, room
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entropy_loop.people.book import FILE, Book, answers
from entropy_loop.rating import guard, server


@pytest.fixture
def served(results: Path) -> Iterator[Room]:
    with room(results, "--raters", "2") as opened:
        yield opened
        client, first = opened.rater(1)  # whatever was refused: it still serves
        assert first["task"] == "look"
        assert client.send("GET", "/")[0] == 200


def answered(client: Client, state: dict[str, Any], n: int) -> dict[str, Any]:
    """The state after n answers."""
    for _ in range(n):
        state = client.post("/answer", {"ask": state["ask"], "seen": state["concepts"][:1]})
    return state


# ---- joining -----------------------------------------------------------------------------------------


def test_the_server_listens_on_this_machine_alone(served: Room) -> None:
    """By default the address is loopback; from another address of this machine nothing answers."""
    assert served.host.startswith("127.0.0.1:")
    port = int(served.host.rpartition(":")[2])
    other = socket.gethostbyname(socket.gethostname())
    if other.startswith("127."):
        other = "127.0.0.2"
    with pytest.raises(OSError, match=r"refused|unreachable"):
        socket.create_connection((other, port), timeout=5)


def test_a_link_is_good_for_one_person(served: Room) -> None:
    """A used link and a made-up one open nothing; without a session nothing is shown or kept."""
    client, _ = served.rater()
    link = urlsplit(served.links[0]).fragment
    stranger = Client(served.host)
    for tried in (link, "made-up", "", None, 5):
        assert stranger.send("POST", "/join", {"link": tried})[0] == 403
    assert stranger.send("POST", "/answer", {"ask": 1, "seen": []})[0] == 401
    assert Client(served.host, cookie="entropy_loop_session=wrong").send("POST", "/undo", {})[0] == 401
    assert client.cookie


def test_the_session_is_the_browsers_alone(served: Room) -> None:
    """The cookie cannot be read by scripts and is sent to nobody else; no secret stands in the page or the output."""
    client = Client(served.host)
    link = urlsplit(served.links[0]).fragment
    _, data, headers = client.send("POST", "/join", {"link": link})
    cookie = headers["set-cookie"]
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    client.cookie = cookie.partition(";")[0]
    page = client.send("GET", "/")[1]
    for secret in (link, client.cookie.partition("=")[2]):
        assert secret.encode() not in page + data


# ---- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"host": "127.0.0.1"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": None}, 415),
        ({"content_length": "5000"}, 413),
    ],
    ids=str,
)
def test_what_does_not_come_from_our_own_page_is_refused(served: Room, change: dict[str, Any], status: int) -> None:
    """A foreign host or origin, a form, and a large body change nothing, even with a right session."""
    client, state = served.rater()
    body = {"ask": state["ask"], "seen": []}
    sent = b"{}" if "content_length" in change else body
    assert client.send("POST", "/answer", sent, **change)[0] == status
    assert client.post("/answer", body)["answered"] == 1


def test_a_body_that_does_not_say_its_size_is_cut_off(served: Room) -> None:
    """Chunks beyond 4 KiB are refused, whatever the header says."""
    client, _ = served.rater()
    name, _, port = served.host.rpartition(":")
    with socket.create_connection((name, int(port)), timeout=10) as open_:
        head = f"POST /answer HTTP/1.1\r\nHost: {served.host}\r\nOrigin: http://{served.host}\r\n"
        head += f"Cookie: {client.cookie}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        open_.sendall(head.encode())
        open_.sendall(b"1400\r\n" + b"x" * 0x1400 + b"\r\n")
        assert b" 413 " in open_.recv(1000)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"5", b'{"ask": "1"}', b'{"ask": 1, "seen": [5]}', b"\xff"], ids=str
)
def test_nonsense_is_refused(served: Room, body: bytes) -> None:
    """What is no JSON object, or none that was asked for, is refused with a message and not kept."""
    client, _ = served.rater()
    assert client.send("POST", "/answer", body)[0] in (400, 409)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(served: Room, method: str) -> None:
    """Pages are read and answers posted; there is nothing else."""
    assert served.rater()[0].send(method, "/")[0] == 405


def test_a_client_that_leaves_is_no_error(results: Path) -> None:
    """A connection that ends within a body leaves no trace in the server's output."""
    with room(results) as opened:
        name, _, port = opened.host.rpartition(":")
        with socket.create_connection((name, int(port)), timeout=10) as open_:
            head = f"POST /answer HTTP/1.1\r\nHost: {opened.host}\r\nOrigin: http://{opened.host}\r\n"
            open_.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert Client(opened.host).send("GET", "/")[0] == 200
        opened.process.terminate()
        assert opened.process.stderr is not None
        assert opened.process.stderr.read() == ""


def test_a_slow_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never ends gets 408 after its time, and meanwhile others are served."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)

    async def read(request: Request) -> Response:
        return Response(await guard.posted(request))

    page = Starlette(routes=[Route("/", lambda request: Response()), Route("/answer", read, methods=["POST"])])
    listening = server.listen("127.0.0.1", 0)
    address = server.address_of("127.0.0.1", listening)
    threading.Thread(target=server.serve, args=(page, listening, address), daemon=True).start()
    name, _, port = address.rpartition(":")
    with socket.create_connection((name, int(port)), timeout=10) as open_:
        open_.sendall(
            f"POST /answer HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        assert Client(address).send("GET", "/")[0] == 200
        assert b" 408 " in open_.recv(1000)


def test_images_are_shown_to_raters_by_name_alone(served: Room) -> None:
    """An image that is asked about is a PNG without a word beside its pixels; paths, other names and strangers get
    nothing."""
    client, state = served.rater()
    status, data, headers = client.send("GET", f"/image/{state['item']}")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert {data[i + 4 : i + 8] for i in _chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}
    assert Client(served.host).send("GET", f"/image/{state['item']}")[0] == 404
    for name in (
        "..%2f..%2fetc%2fpasswd",
        "../people.sqlite",
        "people.sqlite",
        "0",
        "%00",
        "store",
        f"{state['item']}x",
    ):
        assert client.send("GET", f"/image/{name}")[0] == 404


def _chunks(data: bytes) -> Iterator[int]:
    place = 8
    while place < len(data):
        yield place
        place += 12 + int.from_bytes(data[place : place + 4], "big")


def test_every_answer_carries_the_headers_that_keep_others_out(served: Room) -> None:
    """Scripts and pictures of our own alone, no frames, no guessing of types, no referrer; also where it refuses."""
    client, _ = served.rater()
    for path in ("/", "/rate.js", "/image/none", "/nothing"):
        for host in (served.host, "evil.example"):
            headers = client.send("GET", path, host=host)[2]
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers


# ---- blindness ---------------------------------------------------------------------------------------


def test_nothing_but_the_pixels_reveals_where_an_image_comes_from(results: Path) -> None:
    """Everything that is sent for an image is the same, byte for byte, whatever its arm and generation, once opaque
    names and counts are taken out; and no name of ours stands in it."""
    with room(results, "--raters", "1", links=1) as opened:
        client, state = opened.rater()
        seen, places = set(), set()
        items = Book(results).items()
        while state["task"] == "look":
            places.add(items[state["item"]].file.split("/")[1])
            text = json.dumps(state)
            assert not re.search(r"g0\d|arm|seed|generat|store|none|choice", text.replace('"none"', ""))
            blank = text.replace(state["item"], "")
            seen.add(re.sub(r'"(ask|answered|left)": \d+', r'"\1": 0', blank))
            state = answered(client, state, 1)
    assert len(places) == 7  # generation 0, which the arms share, and three of each
    assert len({len(name) for name in items}) == 1
    assert len(seen) == 1


PROMPTS = [
    {"text": "an astronaut on a horse", "concepts": ["astronaut", "horse"]},
    {"text": "a cow", "concepts": ["cow"]},
]
CHOICE = {"ask": "choice", "choices": {"rider": ["knight", "astronaut"], "mount": ["cow", "horse", "pig"]}}


def by_choice(root: Path, **people: Any) -> None:
    """Says in a folder's config that people are asked by questions."""
    raw = yaml.safe_load((root / "config.yaml").read_text())
    raw["people"] |= CHOICE | people
    (root / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))


def test_questions_reveal_nothing_of_prompt_arm_or_generation(tmp_path: Path) -> None:
    """With two prompts of different concepts everything that is sent for an image is the same but its opaque name; the
    order of questions and options is the config's; and no prompt and no set of concepts stands in it."""
    small: dict[str, Any] = {"generations": 1, "images": 4, "evaluation": {"images": 1}, "sweep": {}}
    finished = painted.carry_out(tmp_path, prompts=PROMPTS, **small)
    (tmp_path / "config.yaml").write_text(painted.settings(finished))
    by_choice(tmp_path, catch_trials=0, repeats=0)
    with room(tmp_path, "--raters", "1", links=1) as opened:
        client, state = opened.rater()
        sent, shown = set(), set()
        while state["task"] == "look":
            shown.add(state["item"])
            text = json.dumps(state).replace(state["item"], "")
            sent.add(re.sub(r'"(ask|answered|left)": \d+', r'"\1": 0', text))
            state = client.post("/answer", {"ask": state["ask"], "seen": {"rider": "knight", "mount": "none"}})
    (state,) = map(json.loads, sent)
    assert set(state) == {"task", "ask", "item", "questions", "answered", "left"}
    assert state["questions"] == [
        ["rider", ["knight", "astronaut", "none", "can't tell"]],
        ["mount", ["cow", "horse", "pig", "none", "can't tell"]],
    ]
    prompts = {item.prompt for name, item in Book(tmp_path).items().items() if name in shown}
    assert prompts == {prompt["text"] for prompt in PROMPTS}


def test_answers_to_different_questions_do_not_mix(results: Path) -> None:
    """Yes and no were answered; a config that has come to ask by questions is refused in words, and nothing that was
    answered is lost."""
    with room(results, links=1) as opened:
        answered(*opened.rater(), 2)
    by_choice(results)
    result = command("rate", results)
    assert result.returncode == 2
    assert "already answered other questions than people.ask and people.choices ask" in result.stderr
    assert answers(results)["item"].nunique() == 2


# ---- what is kept ------------------------------------------------------------------------------------


def test_answers_are_of_the_images_that_were_shown(served: Room, results: Path) -> None:
    """What was posted stands in the book, under the image that was on the screen."""
    client, state = served.rater()
    first = state
    second = client.post("/answer", {"ask": first["ask"], "seen": ["horse"]})
    client.post("/answer", {"ask": second["ask"], "seen": None})
    table = answers(results)
    answer = table[table["item"] == first["item"]].set_index("concept")["answer"].to_dict()
    assert answer == {"astronaut": False, "horse": True}
    assert table[table["item"] == second["item"]]["answer"].isna().all()


def test_a_rater_comes_back_to_the_same_image(results: Path) -> None:
    """After a restart of the server the session is known, and what waits for the rater is what waited before."""
    with room(results) as opened:
        client, state = opened.rater()
        state = answered(client, state, 3)
        port = opened.host.rpartition(":")[2]
    with room(results, "--port", port):
        page = client.send("GET", "/")[1].decode()
        assert f"&#34;ask&#34;: {state['ask']}," in page
        assert client.post("/answer", {"ask": state["ask"], "seen": []})["answered"] == 4


def test_answers_are_readable_by_their_owner_alone(served: Room, results: Path) -> None:
    """Answers are readable by their owner alone."""
    served.rater()
    assert {stat.S_IMODE(path.stat().st_mode) for path in results.glob(f"{FILE}*")} == {0o600}


def test_a_thousand_answers_survive_a_kill(results: Path) -> None:
    """Ten raters at once, 1,000 submissions, the server killed with SIGKILL in between: every acknowledged answer is in
    the book exactly once, sent twice or not."""
    random, acknowledged, lock = Random(0), {}, threading.Lock()
    with room(results, "--images", "12", "--raters", "50", links=24) as opened:
        raters = [opened.rater(i) for i in range(24)]
        port = opened.host.rpartition(":")[2]
        killer = threading.Timer(random.uniform(2, 5), opened.process.send_signal, [signal.SIGKILL])
        killer.start()
        _send_all(raters, acknowledged, lock, 500)
        killer.join()
        opened.process.wait()
    before = len(acknowledged)
    with room(results, "--raters", "50", "--port", port):
        for client, state in raters:
            page = client.send("GET", "/")[1].decode().replace("&#34;", '"')
            state.clear()
            state.update(json.loads(re.search(r'data-state="(.*)">', page)[1]))  # type: ignore[index]
        _send_all(raters, acknowledged, lock, 1000)
    book = Book(results)
    kept = book.rows("SELECT ask, count(*) FROM answers WHERE withdrawn IS NULL GROUP BY ask")
    book.close()
    print(f"{len(acknowledged)} answers acknowledged, {before} of them before the kill")
    assert len(acknowledged) >= 1000
    assert {ask for ask, _ in kept} >= set(acknowledged)
    assert {count for _, count in kept} == {1}


def _send_all(raters: list[Any], acknowledged: dict[int, Any], lock: threading.Lock, enough: int) -> None:
    """Every rater answers, one thread each, until there are enough answers or the server is gone."""

    def work(client: Client, state: dict[str, Any]) -> None:
        while len(acknowledged) < enough and state.get("task") == "look":
            ask = state["ask"]
            try:
                response = client.send("POST", "/answer", {"ask": ask, "seen": ["horse"]})
                if ask % 7 == 0:
                    client.send("POST", "/answer", {"ask": ask, "seen": []})
            except OSError:
                return
            if response[0] == 200:
                with lock:
                    acknowledged[ask] = True
                state.clear()
                state.update(json.loads(response[1]))

    threads = [threading.Thread(target=work, args=pair) for pair in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- picking -----------------------------------------------------------------------------------------


def test_after_the_picks_the_same_run_goes_on(results: Path, tmp_path: Path) -> None:
    """A run that waits, the picks of one person over HTTP, and the run again: kept is exactly what was picked."""
    raw = yaml.safe_load((results / "config.yaml").read_text())
    raw |= {"name": "picked", "generations": 1, "sweep": {}}
    raw["curate"]["policy"] = {"use": "people", "k": 3}
    (tmp_path / "picked.yaml").write_text(yaml.safe_dump(raw))
    line = ("run", tmp_path / "picked.yaml", "--out", tmp_path / "picked")
    waits = command(*line)
    assert waits.returncode == 10, waits.stderr
    assert f"entropy-loop rate {tmp_path / 'picked'}" in waits.stderr
    with room(tmp_path / "picked", links=1) as opened:
        client, state = opened.rater()
        assert (state["task"], state["k"], len(state["candidates"])) == ("pick", 3, 12)
        wanted = [candidate["item"] for candidate in state["candidates"]][:3]
        assert client.send("POST", "/finish", {"pool": state["pool"]})[0] == 409
        for item in wanted:
            client.post("/pick", {"item": item, "picked": True})
        assert client.post("/finish", {"pool": state["pool"]})["task"] != "pick"
    book = Book(tmp_path / "picked")
    ids = dict(book.rows("SELECT item, id FROM candidates"))
    book.close()
    done = command(*line)
    assert done.returncode == 0, done.stderr
    images = pd.read_parquet(tmp_path / "picked" / "images.parquet").query("set == 'pool' and generation == 0")
    assert set(images.loc[images["kept"].eq(True), "id"]) == {ids[item] for item in wanted}


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    """Nothing to rate, or no results folder at all, is an error at once."""
    for root in (tmp_path, tmp_path / "none"):
        result = command("rate", root)
        assert result.returncode == 2
        assert "no results folder" in result.stderr
