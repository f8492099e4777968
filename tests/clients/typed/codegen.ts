// What graphql-codegen makes of the committed schema and of the documents in documents.ts.
import type { CodegenConfig } from '@graphql-codegen/cli';
import { addTypenameSelectionDocumentTransform } from '@graphql-codegen/client-preset';

const scalars = { Cursor: 'string', DateTime: 'string', JSON: 'unknown', Upload: 'Blob' };

const config: CodegenConfig = {
  schema: 'schema.graphql',
  documents: ['documents.ts'],
  importExtension: '.js',
  config: { scalars, enumsAsTypes: true, useTypeImports: true },
  generates: {
    'gql/': {
      preset: 'client',
      presetConfig: { persistedDocuments: true },
      documentTransforms: [addTypenameSelectionDocumentTransform],
    },
    'schema-types.ts': { plugins: ['typescript'] },
    'operations.ts': { plugins: ['typescript-operations'] },
  },
};

export default config;
