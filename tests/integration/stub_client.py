# SPDX-License-Identifier: Apache-2.0
"""grpcio through the stubs that proto/stubs.sh python makes. usage: PYTHONPATH=STUBS stub_client.py ADDRESS KEY"""
import json
import sys

import grpc
from videogate.v1 import video_pb2, video_pb2_grpc

address, key = sys.argv[1:]
metadata = (("authorization", f"Bearer {key}"),)
stub = video_pb2_grpc.VideoServiceStub(grpc.insecure_channel(address))

request = video_pb2.CreateVideoRequest(prompt="stubs", model="sandbox", size="160x90", seconds=1)
made = stub.CreateVideo(request, metadata=metadata, timeout=60).video
got = stub.GetVideo(video_pb2.GetVideoRequest(id=made.id), metadata=metadata, timeout=60).video
listed = stub.ListVideos(video_pb2.ListVideosRequest(limit=1), metadata=metadata, timeout=60).data
for event in stub.WatchVideo(video_pb2.WatchVideoRequest(id=made.id), metadata=metadata, timeout=180):
    last = event.video.status
parts = list(stub.DownloadVideo(video_pb2.DownloadVideoRequest(id=made.id), metadata=metadata, timeout=180))
try:
    stub.CreateVideo(video_pb2.CreateVideoRequest(prompt=""), metadata=metadata, timeout=60)
    raise SystemExit("an empty prompt was accepted")
except grpc.RpcError as error:
    refused = {"code": error.code().value[0], "details": dict(error.trailing_metadata())["grpc-status-details-bin"].decode("latin-1")}
print(json.dumps({"same": got.id == made.id == listed[0].id, "last": video_pb2.VideoStatus.Name(last),
                  "total": parts[0].info.total_bytes, "bytes": sum(len(p.data) for p in parts), "refused": refused}))
