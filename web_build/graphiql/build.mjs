// Bundles GraphiQL into opsin/web/graphiql/: node build.mjs
//
// GraphiQL 3.8.3 on purpose: it edits with CodeMirror, and the page is one script of 1.2 MB. 4.1.2 is
// larger and shows no more; 5.x edits with Monaco, which is 5.3 MB and web workers for the same page.
import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(here, '../../opsin/web/graphiql');

// GraphiQL's style sheet carries 360 kB of Roboto and Fira Code; the system's fonts do as well.
const systemFonts = {
  name: 'system-fonts',
  setup({ onLoad }) {
    onLoad({ filter: /graphiql\.css$/ }, async ({ path: file }) => {
      const text = await readFile(file, 'utf8');
      const contents = text
        .replace(/@font-face\s*{[^}]*}/g, '')
        .replace("'Roboto', sans-serif", 'system-ui, sans-serif')
        .replace("'Fira Code', monospace", 'ui-monospace, monospace');
      return { contents, loader: 'css' };
    });
  },
};

// The folders of the packages that have bytes in the bundle, not of all that were installed.
function bundledPackages({ outputs }) {
  const folders = new Set();
  for (const { inputs } of Object.values(outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = file.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0];
      if (folder && bytesInOutput > 0) folders.add(folder);
    }
  }
  return [...folders].sort();
}

function by(author) {
  return author ? ` by ${author.name ?? author}` : '';
}

async function licenceOf(folder) {
  const { name, version, license, author } = JSON.parse(await readFile(path.join(here, folder, 'package.json'), 'utf8'));
  const file = (await readdir(path.join(here, folder))).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file
    ? await readFile(path.join(here, folder, file), 'utf8')
    : `(The package ships no licence text; its package.json says: ${license}${by(author)}.)`;
  return `${name} ${version} (${license})\n\n${text.replaceAll('\r\n', '\n').trim()}\n`;
}

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { graphiql: 'entry.js' },
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2020',
  charset: 'utf8',
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none',
  metafile: true,
  outdir: target,
  plugins: [systemFonts],
});

await mkdir(target, { recursive: true });
await copyFile(path.join(here, 'index.html'), path.join(target, 'index.html'));
const licences = await Promise.all(bundledPackages(metafile).map(licenceOf));
await writeFile(path.join(target, 'LICENSES'), licences.join(`\n${'-'.repeat(78)}\n\n`));
