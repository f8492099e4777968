// A pipeline for Node.js 18 or later without a single package: all six steps, either dialect.
//
//     node examples/node_pipeline.mjs --help
import crypto from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

const HELP = `node node_pipeline.mjs IMAGE_ID [options]

Tells of one analysis of an image: a box, and a file if one is given.
OPSIN_API_KEY and ML_CALLBACK_HMAC_SECRET are read from the environment.

  --url URL            the server (http://127.0.0.1:8000)
  --dialect DIALECT    timestamped, the stronger one, or documented (timestamped)
  --model NAME         one of the server's ML_ALLOWED_MODELS (yolo_v8)
  --file PNG           a picture to send as the artifact`;

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8000' },
    dialect: { type: 'string', default: 'timestamped' },
    model: { type: 'string', default: 'yolo_v8' },
    file: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
const { OPSIN_API_KEY: apiKey, ML_CALLBACK_HMAC_SECRET: secret } = process.env;
if (given.help || positionals.length !== 1 || !secret) {
  console.log(given.help ? HELP : `${HELP}\n\nAn image and ML_CALLBACK_HMAC_SECRET are needed.`);
  process.exit(given.help ? 0 : 2);
}

/** The time and the body are signed; in the documented dialect, the body alone. */
function signature(body) {
  const timestamp = Math.floor(Date.now() / 1000).toString();
  const isTimestamped = given.dialect === 'timestamped';
  const message = isTimestamped ? `${timestamp}.${body}` : body;
  const hex = crypto.createHmac('sha256', secret).update(message).digest('hex');
  return { 'X-ML-Signature': isTimestamped ? `sha256=${hex}` : hex, 'X-ML-Timestamp': timestamp };
}

/** The JSON that comes back. A request that got no answer is sent again: by its key, or in the
 * documented dialect by its signature, the server knows it and does nothing twice. */
async function call(method, path, payload, { signed = true } = {}) {
  const body = JSON.stringify(payload);
  const key = { 'Idempotency-Key': crypto.randomUUID() };
  for (let attempt = 1; ; attempt += 1) {
    const headers = { 'Content-Type': 'application/json', ...key, ...(signed && signature(body)) };
    if (apiKey) headers['X-API-Key'] = apiKey;
    let failure;
    let seconds = Math.random() * Math.min(30, 2 ** attempt / 2);
    try {
      const answer = await fetch(given.url + path, { method, headers, body });
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text);
      failure = new Error(`${method} ${path}: ${answer.status} ${text}`);
      if (![429, 502, 503, 504].includes(answer.status)) attempt = Infinity;
      seconds += Number(answer.headers.get('retry-after')) || 0;
    } catch (error) {
      failure = error;
    }
    if (attempt >= 8) throw failure;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

process.on('uncaughtException', (error) => {
  console.error(error.message, error.cause ?? '');
  process.exit(1);
});

const [imageId] = positionals;
const model = { model_name: given.model, model_version: 'node-1', parameters: { threshold: 0.5 } };
const { id } = await call('POST', `/api/images/${imageId}/analyses`, model, { signed: false });
const analysis = `/api/analyses/${id}`;
try {
  await call('PATCH', `${analysis}/status`, { status: 'processing' });
  const box = { bbox: [100, 150, 50, 100], format: 'xywh' };
  const findings = [
    { annotation_type: 'bounding_box', class_name: 'person', confidence: 0.95, data: box },
  ];
  if (given.file) {
    const artifact = { artifact_name: basename(given.file), content_type: 'image/png' };
    const presigned = await call('POST', `${analysis}/artifacts/presign`, { artifacts: [artifact] });
    const [{ upload_url: url, storage_path: path }] = presigned.presigned_urls;
    const file = { method: 'PUT', headers: { 'Content-Type': 'image/png' } };
    const sent = await fetch(url, { ...file, body: await readFile(given.file) });
    if (!sent.ok) throw new Error(`${given.file}: ${sent.status} ${await sent.text()}`);
    findings.push({ annotation_type: 'heatmap', data: {}, storage_path: path });
  }
  const { created_count: count } = await call('POST', `${analysis}/annotations:bulk`, {
    annotations: findings,
  });
  const end = { status: 'completed', summary: { findings: count } };
  const { status } = await call('POST', `${analysis}/finalize`, end);
  console.log(JSON.stringify({ id, count, status }));
} catch (error) {
  const end = { status: 'failed', error_message: String(error) };
  await call('POST', `${analysis}/finalize`, end).catch(() => {}); // the first error says why
  throw error;
}
