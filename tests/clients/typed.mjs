// Runs a program of typed/ as tsc has written it into a folder: node typed.mjs FOLDER/NAME.js ...
import { pathToFileURL } from 'node:url';
import { program } from './program.mjs';

await program('PROGRAM HTTP_URL SOCKET_URL DATASET_ID', async (path, ...given) => {
  const { main } = await import(pathToFileURL(path).href);
  return main(...given);
});
