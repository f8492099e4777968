// Copies Swagger UI and Redoc into opsin/web/api_docs/: node build.mjs
//
// Both ship bundled. Redoc 2.5.2 on purpose: 3.x is to be built with React, a router and
// styled-components of one's own, for the same page.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(here, '../../opsin/web/api_docs');
const packages = path.join(here, 'node_modules');

const BUNDLES = {
  'swagger-ui.js': 'swagger-ui-dist/swagger-ui-bundle.js',
  'swagger-ui.css': 'swagger-ui-dist/swagger-ui.css',
  'redoc.js': 'redoc/bundles/redoc.standalone.js',
};
const REDOC_MARK = 'https://cdn.redoc.ly/redoc/logo-mini.svg';
const LICENCES = {
  'swagger-ui-dist': ['LICENSE', 'NOTICE', 'swagger-ui-bundle.js.LICENSE.txt'],
  redoc: ['LICENSE', 'bundles/redoc.standalone.js.LICENSE.txt'],
};
const PAGES = ['swagger.html', 'swagger.js', 'redoc.html', 'redoc-page.js', 'pages.css'];

await mkdir(target, { recursive: true });
for (const [name, source] of Object.entries(BUNDLES)) {
  const text = await readFile(path.join(packages, source), 'utf8');
  // Their source maps stay behind, and so does a picture on a server of Redoc's makers.
  const own = text.replace(/^\/[/*]# sourceMappingURL=.*$/gm, '').replaceAll(REDOC_MARK, 'data:,');
  await writeFile(path.join(target, name), `${own.trimEnd()}\n`);
}
for (const name of PAGES) await copyFile(path.join(here, name), path.join(target, name));

const licences = [];
for (const [name, files] of Object.entries(LICENCES)) {
  const { version, license } = JSON.parse(await readFile(path.join(packages, name, 'package.json'), 'utf8'));
  const texts = await Promise.all(files.map((file) => readFile(path.join(packages, name, file), 'utf8')));
  const text = texts.map((one) => one.replaceAll('\r\n', '\n').trim()).join('\n\n');
  licences.push(`${name} ${version} (${license})\n\n${text}\n`);
}
await writeFile(path.join(target, 'LICENSES'), licences.join(`\n${'-'.repeat(78)}\n\n`));
