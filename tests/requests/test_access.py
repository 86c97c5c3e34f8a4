import pytest

from exporter.requests.parts.access import INFERENCE_ENDPOINTS, Access, access, is_inference

POST = Access("POST", "/v1/chat/completions", 200)


@pytest.mark.parametrize(
    "text",
    [
        'INFO:     127.0.0.1:37558 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
        '127.0.0.1:48714 - "POST /v1/chat/completions HTTP/1.1" 200',
        '[2026-04-05 20:02:51] INFO:     10.2.3.4:40052 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
        '\x1b[1;36m(APIServer pid=20475)\x1b[0;0m INFO:     [::1]:4 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
        '\x1b[32mINFO\x1b[0m:     ::1:4 - "\x1b[1mPOST /v1/chat/completions HTTP/1.1\x1b[0m" \x1b[32m200 OK\x1b[0m',
        '2026-11-21 04:21:30.143 uvicorn.access INFO:     127.0.0.1:5 15140 - "POST /v1/chat/completions HTTP/1.1" 200',
        'INFO:      - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    ],
)
def test_an_access_line_is_read_whatever_its_logger_puts_before_it(text: str) -> None:
    assert access(text) == POST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INFO:     Started server process [10404]",
        'INFO:     127.0.0.1:37558 - "WebSocket /v1/realtime" [accepted]',
        "Received request 1: prompt: '127.0.0.1:1 - \"POST /v1/completions HTTP/1.1\" 200 OK'",
        '{"message": "127.0.0.1:1 - \\"POST /v1/completions HTTP/1.1\\" 200"}',
        'INFO:     127.0.0.1:1 - "POST /v1/completions HTTP/1.1" 2000',
        "x" * 5_000 + ' 127.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK',
    ],
)
def test_another_line_is_none(text: str) -> None:
    assert access(text) is None


@pytest.mark.parametrize("path", [*INFERENCE_ENDPOINTS, "/llm/v1/chat/completions/?stream=1", "/v1/models/m%3Apredict"])
def test_paths_that_servers_do_inference_for(path: str) -> None:
    assert is_inference(path)


def test_an_endpoint_is_known_with_every_character_escaped_and_behind_a_path_of_any_length() -> None:
    for endpoint in INFERENCE_ENDPOINTS:
        assert is_inference("/%61" * 100_000 + "".join(f"%{ord(one):02x}" for one in endpoint))


@pytest.mark.parametrize("path", ["/", "/health", "/metrics?x=/completions", "/v1/models", "/tokenize"])
def test_other_paths_are_no_inference(path: str) -> None:
    assert not is_inference(path)


def test_only_a_post_asks_for_inference() -> None:
    assert POST.asks_inference
    assert not POST._replace(method="GET").asks_inference
    assert not POST._replace(path="/health").asks_inference
