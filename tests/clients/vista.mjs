// The documented Node.js signing, through all six steps: the body is signed as it is sent.
// node vista.mjs URL IMAGE_ID SECRET API_KEY
import crypto from "node:crypto";

const [url, imageId, secret, apiKey] = process.argv.slice(2);

function createHMACHeaders(payload) {
  const timestamp = Math.floor(Date.now() / 1000).toString();
  const message = JSON.stringify(payload);
  const signature = crypto.createHmac("sha256", secret).update(message).digest("hex");
  return {
    "Content-Type": "application/json",
    "X-ML-Signature": signature,
    "X-ML-Timestamp": timestamp,
  };
}

async function call(method, path, payload, headers) {
  const answer = await fetch(url + path, { method, headers, body: JSON.stringify(payload) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const signed = (method, path, payload) => call(method, path, payload, createHMACHeaders(payload));

const model = { model_version: "v8.0.0", model_name: "yolo_v8", parameters: { z: 1, a: 0.5 } };
const user = { "Content-Type": "application/json", "X-API-Key": apiKey };
const { id } = await call("POST", `/api/images/${imageId}/analyses`, model, user);
const analysis = `/api/analyses/${id}`;
await signed("PATCH", `${analysis}/status`, { status: "processing" });
const wanted = { artifacts: [{ content_type: "image/png", artifact_name: "boxes.png" }] };
const presigned = await signed("POST", `${analysis}/artifacts/presign`, wanted);
const put = await fetch(presigned.presigned_urls[0].upload_url, {
  method: "PUT",
  headers: { "Content-Type": "image/png" },
  body: new Uint8Array([137, 80, 78, 71]),
});
if (!put.ok) throw new Error(`PUT: ${put.status}`);
const box = { bbox: [100, 150, 50, 1e2], format: "xywh" };
const findings = [
  { data: box, annotation_type: "bounding_box", class_name: "Größe 鯨 🐋", confidence: 1.0 },
];
const added = await signed("POST", `${analysis}/annotations:bulk`, { annotations: findings });
const ended = await signed("POST", `${analysis}/finalize`, { status: "completed", summary: {} });
console.log(JSON.stringify({ id, added: added.created_count, status: ended.status }));
