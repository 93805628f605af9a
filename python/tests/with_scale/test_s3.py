"""Labels and tokens in a bucket: moto's server of S3 in this process, read as pyarrow reads any other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

import saltworks_lm as sl
from saltworks_lm import Labels, TokenCorpus


@pytest.fixture(scope="module")
def bucket(made: Path) -> Iterator[str]:
    """Query of the URLs, for the bucket `texts` with labels and tokens."""
    # Before pyarrow opens S3.
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="texts")
    for path in (made / "labels").rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "texts", f"run/labels/{path.relative_to(made / 'labels')}")
    for ending in ("bin", "idx"):
        client.upload_file(str(made / f"tokens.{ending}"), "texts", f"run/tokens/tokens.{ending}")
    yield f"?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    server.stop()


def test_labels_in_a_bucket_are_the_labels(made: Path, bucket: str) -> None:
    here, there = Labels(made / "labels"), Labels(f"s3://texts/run/labels{bucket}")
    assert there.identity == here.identity
    for a, b in zip(there, here, strict=True):
        assert a.seq_id == b.seq_id
        assert (a.input_ids == b.input_ids).all()
        assert (a.topk_logprobs == b.topk_logprobs).all()
        assert (a.sampled_ids == b.sampled_ids).all()
    assert there.n_decoded == len(there.places)


def test_tokens_in_a_bucket_are_copied(made: Path, bucket: str, tmp_path: Path) -> None:
    here = TokenCorpus(made / "tokens")
    there = TokenCorpus(f"s3://texts/run/tokens{bucket}", cache=tmp_path)
    assert (np.asarray(there.tokens) == np.asarray(here.tokens)).all()
    view = there.sequences_of(Labels(f"s3://texts/run/labels{bucket}").plan)
    assert (view.by_seq_id(5).input_ids == here.sequences_of(Labels(made / "labels").plan).by_seq_id(5).input_ids).all()


def test_objects_missing_from_the_bucket_are_refused(bucket: str) -> None:
    with pytest.raises(FileNotFoundError, match="s3://texts/run/nothing does not exist"):
        Labels(f"s3://texts/run/nothing{bucket}")
    with pytest.raises((FileNotFoundError, OSError)):
        Labels(f"s3://no-such-bucket/labels{bucket}")
    with pytest.raises(FileNotFoundError, match=r"s3://texts/run contains labels, tokens, but no plan\.json"):
        Labels(f"s3://texts/run{bucket}")
    assert issubclass(sl.NotFinishedError, sl.SaltworksError)
