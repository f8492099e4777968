// What the front end asks for; graphql-codegen gives each document the types of its answer.
import { type FragmentType, graphql, useFragment } from './gql/index.js';
import type { AnalysisStatus } from './schema-types.js';

const analysisRow = graphql(`
  fragment AnalysisRow on Analysis {
    id
    status
    modelName
    result {
      __typename
      ... on DominantColors { colors { hex share } }
    }
    annotations(first: 10, filter: $found) {
      totalCount
      nodes { id className confidence data }
    }
  }
`);

export const albumQuery = graphql(`
  query Album($dataset: ID!, $first: Int, $after: String, $found: AnnotationFilter) {
    eventCursor
    dataset(id: $dataset) {
      id
      name
      images(first: $first, after: $after) {
        totalCount
        edges {
          cursor
          node { id filename width height analyses { nodes { ...AnalysisRow } } }
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
`);

export const createMutation = graphql(`
  mutation Create($input: CreateAnalysisInput!) {
    createAnalysis(input: $input) { id status image { id } }
  }
`);

export const moveMutation = graphql(`
  mutation Move($input: UpdateAnalysisStatusInput!) {
    updateAnalysisStatus(input: $input) { id status }
  }
`);

export const eventsSubscription = graphql(`
  subscription Events($dataset: ID!, $after: Cursor) {
    analysisEvents(datasetId: $dataset, after: $after) {
      cursor
      kind
      analysis { id status }
    }
  }
`);

export interface Row {
  id: string;
  status: AnalysisStatus;
  colors: string[];
  found: (string | null)[];
}

/** One line of a table of analyses; of the union's members, one has colours. */
export function rowOf(node: FragmentType<typeof analysisRow>): Row {
  const { id, status, result, annotations } = useFragment(analysisRow, node);
  // @ts-expect-error: an answer of another type has no colours
  void result?.colors;
  const colors = result?.__typename === 'DominantColors' ? result.colors.map(({ hex }) => hex) : [];
  return { id, status, colors, found: annotations.nodes.map(({ className }) => className) };
}

// @ts-expect-error: the schema has no such status
export const noStatus: AnalysisStatus = 'DONE';
