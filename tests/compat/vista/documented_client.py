"""The client of the API's documentation, as it stands there, with httpx in place of requests."""

import hashlib
import hmac
import json
import time
from typing import Any

import httpx as requests


class MLPipelineClient:
    def __init__(self, api_url: str, hmac_secret: str, api_key: str | None = None) -> None:
        self.api_url = api_url.rstrip("/")
        self.hmac_secret = hmac_secret
        self.api_key = api_key

    def _create_hmac_headers(self, payload: Any) -> dict[str, str]:
        timestamp = str(int(time.time()))
        message = json.dumps(payload, separators=(",", ":"), sort_keys=True)
        signature = hmac.new(
            self.hmac_secret.encode("utf-8"), message.encode("utf-8"), hashlib.sha256
        ).hexdigest()
        return {
            "Content-Type": "application/json",
            "X-ML-Signature": signature,
            "X-ML-Timestamp": timestamp,
        }

    def _get_user_headers(self) -> dict[str, str]:
        if self.api_key:
            return {"X-API-Key": self.api_key}
        return {}

    def create_analysis(
        self, image_id: str, model_name: str, model_version: str, parameters: Any = None
    ) -> Any:
        url = f"{self.api_url}/api/images/{image_id}/analyses"
        payload = {
            "model_name": model_name,
            "model_version": model_version,
            "parameters": parameters or {},
        }
        response = requests.post(url, json=payload, headers=self._get_user_headers())
        response.raise_for_status()
        return response.json()

    def update_status(self, analysis_id: str, status: str) -> Any:
        url = f"{self.api_url}/api/analyses/{analysis_id}/status"
        payload = {"status": status}
        response = requests.patch(url, json=payload, headers=self._create_hmac_headers(payload))
        response.raise_for_status()
        return response.json()

    def request_presigned_urls(self, analysis_id: str, artifacts: Any) -> Any:
        url = f"{self.api_url}/api/analyses/{analysis_id}/artifacts/presign"
        payload = {"artifacts": artifacts}
        response = requests.post(url, json=payload, headers=self._create_hmac_headers(payload))
        response.raise_for_status()
        return response.json()

    def upload_artifact(self, presigned_url: str, content: bytes, content_type: str) -> None:
        response = requests.put(
            presigned_url, content=content, headers={"Content-Type": content_type}
        )
        response.raise_for_status()

    def submit_annotations(self, analysis_id: str, annotations: Any) -> Any:
        url = f"{self.api_url}/api/analyses/{analysis_id}/annotations:bulk"
        payload = {"annotations": annotations}
        response = requests.post(url, json=payload, headers=self._create_hmac_headers(payload))
        response.raise_for_status()
        return response.json()

    def finalize_analysis(
        self, analysis_id: str, status: str = "completed", summary: Any = None
    ) -> Any:
        url = f"{self.api_url}/api/analyses/{analysis_id}/finalize"
        payload = {"status": status, "summary": summary or {}}
        response = requests.post(url, json=payload, headers=self._create_hmac_headers(payload))
        response.raise_for_status()
        return response.json()


def run_ml_analysis(client: MLPipelineClient, image_id: str, picture: bytes) -> str:
    """The complete workflow of the documentation; gives the analysis's id."""
    analysis = client.create_analysis(
        image_id=image_id,
        model_name="yolo_v8",
        model_version="v8.0.0",
        parameters={"confidence_threshold": 0.5},
    )
    analysis_id: str = analysis["id"]
    client.update_status(analysis_id, "processing")
    artifacts = [{"artifact_name": "detections.png", "content_type": "image/png"}]
    presigned = client.request_presigned_urls(analysis_id, artifacts)
    for url_info in presigned["presigned_urls"]:
        client.upload_artifact(url_info["upload_url"], picture, "image/png")
    annotations = [
        {
            "annotation_type": "bounding_box",
            "class_name": "person",
            "confidence": 0.95,
            "data": {"bbox": [100, 150, 50, 100], "format": "xywh"},
        }
    ]
    client.submit_annotations(analysis_id, annotations)
    client.finalize_analysis(
        analysis_id, status="completed", summary={"total_detections": len(annotations)}
    )
    return analysis_id
