// What a Relay front end asks for; relay-compiler checks it and writes what the runtime reads.
import { graphql } from 'relay-runtime';

graphql`
  query AlbumQuery($dataset: ID!) {
    eventCursor
    dataset(id: $dataset) {
      name
      ...Album_images
    }
  }
`;

graphql`
  fragment Album_images on Dataset
  @argumentDefinitions(
    count: { type: "Int", defaultValue: 2 }
    cursor: { type: "String" }
  )
  @refetchable(queryName: "AlbumPageQuery") {
    images(first: $count, after: $cursor) @connection(key: "Album_images") {
      totalCount
      edges {
        node {
          id
          filename
          ...Picture_image
        }
      }
    }
  }
`;

graphql`
  fragment Picture_image on Image {
    analyses(first: 20, orderBy: CREATED_DESC) {
      edges {
        node {
          id
          status
          modelName
          result {
            __typename
            ... on DominantColors { colors { hex share } }
          }
          sure: annotations(first: 10, filter: { confidenceFrom: 0.5 }) {
            edges { node { className confidence data } }
          }
        }
      }
    }
  }
`;

graphql`
  fragment Latest_analyses on Query
  @argumentDefinitions(
    count: { type: "Int", defaultValue: 2 }
    cursor: { type: "String" }
    status: { type: "[AnalysisStatus!]" }
  )
  @refetchable(queryName: "LatestPageQuery") {
    analyses(first: $count, after: $cursor, filter: { status: $status }, orderBy: UPDATED_DESC)
      @connection(key: "Latest_analyses", filters: ["filter"]) {
      edges { node { id status updatedAt } }
    }
  }
`;

graphql`
  query ThingQuery($id: ID!) {
    node(id: $id) {
      __typename
      id
      ... on Analysis { modelName }
      ... on Image { filename }
    }
  }
`;

graphql`
  mutation CreateMutation($input: CreateAnalysisInput!) {
    createAnalysis(input: $input) { id status image { ...Picture_image } }
  }
`;

graphql`
  mutation FinishMutation($input: FinalizeAnalysisInput!) {
    finalizeAnalysis(input: $input) { id status }
  }
`;

graphql`
  subscription EventsSubscription($dataset: ID!, $after: Cursor) {
    analysisEvents(datasetId: $dataset, after: $after) {
      cursor
      kind
      analysis { id status }
    }
  }
`;
