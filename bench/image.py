"""An image's way in and out, measured through the API of any OpenStack cloud."""

import random
import time
import uuid

from bench.client import Cloud

MIB = 1 << 20
UPLOAD_MIB = 256
ROUNDS = 3


def measure(cloud: Cloud) -> dict[str, float]:
    """Data that cannot be left out (random, so no holes), uploaded and downloaded by one client; the best round of a
    few, since other work on the machine only ever takes away."""
    data = random.Random(1).randbytes(MIB) * UPLOAD_MIB
    cloud.log_in()
    base = cloud.endpoints["image"]
    prefix = "" if base.endswith("/v2") else "/v2"
    best = {"image_upload_mib_per_second": 0.0, "image_download_mib_per_second": 0.0}
    for _ in range(ROUNDS):
        body = {"name": f"bench-{uuid.uuid4().hex[:8]}", "disk_format": "raw", "container_format": "bare"}
        image = cloud.call("image", "POST", f"{prefix}/images", body)["id"]
        url = f"{base}{prefix}/images/{image}/file"
        began = time.perf_counter()
        status, _, answer = cloud.raw("PUT", url, data, {"Content-Type": "application/octet-stream"})
        between = time.perf_counter()
        if status != 204:
            raise RuntimeError(f"the image was not taken: {status} {answer[:300]!r}")
        _, _, answer = cloud.raw("GET", url)
        ended = time.perf_counter()
        if answer != data:
            raise RuntimeError("the download is not what was uploaded")
        for name, took in (("upload", between - began), ("download", ended - between)):
            key = f"image_{name}_mib_per_second"
            best[key] = max(best[key], UPLOAD_MIB / took)
        cloud.call("image", "DELETE", f"{prefix}/images/{image}")
    return best
