"""Objects against Kubernetes' own schemas, strictly, for every release that the chart is for and that knows them."""

from collections.abc import Iterator, Sequence
from typing import Any

import kubernetes_validate

from tests.deploy import crds

VERSIONS = [f"1.{minor}" for minor in range(28, 38)]
SINCE = {
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy": "1.36",
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding": "1.36",
    "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy": "1.34",
    "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicyBinding": "1.34",
    "admissionregistration.k8s.io/v1alpha1/MutatingAdmissionPolicy": "1.32",
    "admissionregistration.k8s.io/v1alpha1/MutatingAdmissionPolicyBinding": "1.32",
    "resource.k8s.io/v1/ResourceClaimTemplate": "1.34",
}
"""The first release that knows a kind, where that is later than the first of all."""


EDGES = ("1.28", "1.37")
"""The first and the last."""


def problems(document: dict[str, Any], versions: Sequence[str] = VERSIONS) -> list[str]:
    """What any release has against an object."""
    if document["kind"] in crds.KINDS:
        return crds.problems(document)
    return list(_problems(document, [each for each in versions if _minor(each) >= _minor(_since(document))]))


def _since(document: dict[str, Any]) -> str:
    claims = document["kind"] == "DaemonSet" and "resourceClaims" in document["spec"]["template"]["spec"]
    return "1.34" if claims else SINCE.get(f"{document['apiVersion']}/{document['kind']}", VERSIONS[0])


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def _problems(document: dict[str, Any], versions: Sequence[str]) -> Iterator[str]:
    for version in versions:
        try:
            tried = kubernetes_validate.validate(document, version, strict=True)
            assert tried == version, f"there are no schemas of {version}"
        except kubernetes_validate.ValidationError as error:
            where = "/".join(str(step) for step in error.path)
            yield f"{version} {document['kind']} {where}: {error.message}"
