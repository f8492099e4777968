/** Every GraphQL document that the viewer sends. */

export const VIEWER = `query Viewer { viewer { name company } }`;

export const DATASETS = `query Datasets($after: String) {
  datasets(first: 200, after: $after) {
    totalCount
    nodes { id name description createdAt
      images(first: 4) { totalCount nodes { id thumbnailUrl(width: 320, height: 320) } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const CREATE_DATASET = `mutation CreateDataset($input: CreateDatasetInput!) {
  createDataset(input: $input) { id }
}`;

const TILE = `id filename width height createdAt thumbnailUrl(width: 320, height: 320)
  analyses(first: 6, orderBy: CREATED_DESC) { nodes { id status operation modelName } }`;

export const DATASET = `query Dataset($id: ID!) {
  eventCursor
  dataset(id: $id) {
    id name description createdAt
    json: exportUrl(format: JSON) csv: exportUrl(format: CSV) coco: exportUrl(format: COCO)
    images(first: 1) { totalCount }
  }
}`;

export const IMAGES = `query Images($after: String, $filter: ImageFilter) {
  images(first: 200, after: $after, filter: $filter) {
    nodes { ${TILE} }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const TILE_OF_IMAGE = `query Tile($id: ID!) { image(id: $id) { ${TILE} } }`;

export const UPLOAD = `mutation Upload($input: UploadImageInput!) {
  uploadImage(input: $input) { ${TILE} }
}`;

export const DELETE_IMAGE = `mutation DeleteImage($id: ID!) { deleteImage(id: $id) { deletedId } }`;

const ANALYSIS = `id operation operationVersion external modelName modelVersion status errorCode
  errorMessage createdAt startedAt completedAt updatedAt summary parameters
  artifacts { id name contentType storagePath sizeBytes url }
  json: exportUrl(format: JSON) csv: exportUrl(format: CSV) coco: exportUrl(format: COCO)`;

const ANNOTATIONS = `totalCount
  nodes { id annotationType className confidence data storagePath url }
  pageInfo { hasNextPage endCursor }`;

// What most pictures have comes with the first answer; more of it by ANALYSIS_ANNOTATIONS.
export const IMAGE = `query Image($id: ID!) {
  eventCursor
  image(id: $id) {
    id filename contentType sizeBytes width height frames orientation orientationApplied notes
    metadata createdAt url
    preview: thumbnailUrl(width: 1024, height: 1024)
    json: exportUrl(format: JSON) csv: exportUrl(format: CSV) coco: exportUrl(format: COCO)
    dataset { id name }
    subject { id name }
    batch { id name }
    analyses(first: 100, orderBy: CREATED_DESC) {
      totalCount
      nodes { ${ANALYSIS} annotations(first: 2000) { ${ANNOTATIONS} } }
    }
  }
}`;

export const ONE_ANALYSIS = `query Analysis($id: ID!) {
  analysis(id: $id) { ${ANALYSIS} annotations(first: 2000) { ${ANNOTATIONS} } }
}`;

export const ANALYSIS_ANNOTATIONS = `query Annotations($id: ID!, $after: String) {
  analysis(id: $id) { annotations(first: 5000, after: $after) { ${ANNOTATIONS} } }
}`;

export const ANALYZE = `mutation Analyze($input: AnalyzeInput!) { analyze(input: $input) { id } }`;
export const CANCEL = `mutation Cancel($id: ID!) { cancelAnalysis(id: $id) { id } }`;
export const RETRY = `mutation Retry($id: ID!) { retryAnalysis(id: $id) { id } }`;

export const OPERATIONS = `query Operations {
  operations {
    name version description targets defaultTarget paramsSchema resultType available
    unavailableReason
    availability { target available unavailableReason }
    models { role name licence sizeBytes }
    plugin { name version builtin }
  }
  plugins { name failures { stage errorType message } }
}`;

export const KEYS = `query Keys {
  viewer { name company apiKeys { id name prefix createdAt lastUsedAt revokedAt } }
}`;
export const CREATE_KEY = `mutation CreateKey($name: String!) {
  createApiKey(name: $name) { key apiKey { id } }
}`;
export const REVOKE_KEY = `mutation RevokeKey($id: ID!) { revokeApiKey(id: $id) { id } }`;

export const FOLLOW = `subscription Follow($after: Cursor, $datasetId: ID, $imageId: ID) {
  analysisEvents(after: $after, datasetId: $datasetId, imageId: $imageId) {
    cursor kind status text analysisId
    analysis { id status operation modelName modelVersion errorMessage image { id } }
  }
}`;
