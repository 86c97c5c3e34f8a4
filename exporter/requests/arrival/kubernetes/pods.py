"""Which pods a label selector finds now."""

import json

import aiohttp

from exporter.requests.arrival.kubernetes.access import Access
from exporter.requests.arrival.kubernetes.answers import Question, Refusal, read_up_to, refusal_of

_MOST_BYTES = 16 << 20
_SECONDS = 30.0
_ALIVE = "status.phase!=Succeeded,status.phase!=Failed"
_NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


async def find_pods(access: Access, selector: str, node: str | None = None) -> list[str] | Refusal:
    """The names of the pods that have not ended, in order; of those on `node` only, if one is named.

    Only their metadata is asked for, from the server's cache.

    Raises:
        aiohttp.ClientError, OSError, TimeoutError: no answer.
        ValueError: an answer that is none.
    """
    question = Question("list", "pods", access.namespace)
    fields = _ALIVE if node is None else f"{_ALIVE},spec.nodeName={node}"
    params = {"labelSelector": selector, "fieldSelector": fields, "resourceVersion": "0"}
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with (
        access.session(access.token()) as session,
        session.get(
            access.pods(), params=params, headers={"Accept": _NAMES_ONLY}, allow_redirects=False, timeout=timeout
        ) as response,
    ):
        if response.status != 200:
            return await refusal_of(response, question)
        return _names(await read_up_to(response.content, _MOST_BYTES))


def _names(body: bytes) -> list[str]:
    try:
        return sorted(item["metadata"]["name"] for item in json.loads(body)["items"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("the list of pods cannot be read") from error
