/** Every GraphQL document that the viewer sends. */

export const VIEWER = `query Viewer { viewer { name company } }`;
export const PERMISSIONS = `query Permissions($id: ID) { viewer { permissions(datasetId: $id) } }`;

export const DATASETS = `query Datasets($after: String, $filter: DatasetFilter) {
  datasets(first: 100, after: $after, filter: $filter) {
    totalCount
    nodes { id name description createdAt
      images(first: 4) { totalCount nodes { id fileDeleted thumbnailUrl(width: 320, height: 320) } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const CREATE_DATASET = `mutation CreateDataset($input: CreateDatasetInput!) {
  createDataset(input: $input) { id }
}`;

const TILE = `id filename width height createdAt fileDeleted thumbnailUrl(width: 320, height: 320)
  deletion { deletedAt }
  classifications(first: 4) { nodes { imageClass { name } } }
  analyses(first: 6, orderBy: CREATED_DESC) { nodes { id status operation modelName } }`;

export const DATASET = `query Dataset($id: ID!) {
  eventCursor
  dataset(id: $id) {
    id name description createdAt metadata imageType { name title }
    json: exportUrl(format: JSON) csv: exportUrl(format: CSV) coco: exportUrl(format: COCO)
    classes(first: 1000) { nodes { id name description } }
  }
  operations { name available embedsText }
}`;

const images = (name, fields) => `query ${name}($first: Int!, $after: String, $filter: ImageFilter, $order: ImageOrder!) {
  images(first: $first, after: $after, filter: $filter, orderBy: $order) { ${fields} pageInfo { hasNextPage endCursor } }
}`;

export const FIRST_IMAGES = images("FirstImages", `totalCount nodes { ${TILE} }`);
export const IMAGES = images("Images", `nodes { ${TILE} }`);
export const SKIP_IMAGES = images("SkipImages", "");

export const NEIGHBOURS = `query Neighbours($later: ImageFilter!, $earlier: ImageFilter!) {
  later: images(first: 50, filter: $later, orderBy: CREATED_ASC) { nodes { id } }
  earlier: images(first: 50, filter: $earlier, orderBy: CREATED_DESC) { nodes { id } }
}`;

export const TILE_OF_IMAGE = `query Tile($id: ID!) { image(id: $id, deleted: INCLUDED) { ${TILE} } }`;

export const UPLOAD = `mutation Upload($input: UploadImageInput!) {
  uploadImage(input: $input) { id }
}`;

export const ABOUT_DATASET = `query AboutDataset($id: ID!, $after: String) {
  dataset(id: $id) {
    id name description createdAt metadata imageType { name title }
    images(first: 1) { totalCount }
    classes(first: 1000) { nodes { id name description } }
    deletions(first: 50, after: $after) {
      totalCount nodes { id action actor reason imageId filename createdAt } pageInfo { hasNextPage endCursor }
    }
  }
}`;
export const CREATE_CLASS = `mutation CreateClass($input: CreateImageClassInput!) {
  createImageClass(input: $input) { id name description }
}`;
export const UPDATE_CLASS = `mutation UpdateClass($input: UpdateImageClassInput!) {
  updateImageClass(input: $input) { id name description }
}`;
export const DELETE_CLASS = `mutation DeleteClass($id: ID!) { deleteImageClass(id: $id) { deletedId } }`;
export const SET_METADATA = `mutation SetMetadata($input: SetMetadataInput!) {
  setMetadata(input: $input) { dataset { metadata } image { metadata } }
}`;
export const REMOVE_METADATA = `mutation RemoveMetadata($input: RemoveMetadataInput!) {
  removeMetadata(input: $input) { dataset { metadata } image { metadata } }
}`;

export const CLASSIFICATIONS = `query Classifications($id: ID!) {
  image(id: $id, deleted: INCLUDED) {
    classifications(first: 200) { nodes { id isMine createdBy createdAt imageClass { id name } } }
  }
}`;
export const CLASSIFY = `mutation Classify($input: ClassifyImageInput!) { classifyImage(input: $input) { id } }`;
export const DECLASSIFY = `mutation Declassify($id: ID!) { declassifyImage(id: $id) { deletedId } }`;

export const COMMENTS = `query Comments($id: ID!, $after: String) {
  image(id: $id, deleted: INCLUDED) {
    comments(first: 200, after: $after) {
      nodes { id text author isMine createdAt updatedAt } pageInfo { hasNextPage endCursor }
    }
  }
}`;
export const CREATE_COMMENT = `mutation CreateComment($input: CreateCommentInput!) { createComment(input: $input) { id } }`;
export const UPDATE_COMMENT = `mutation UpdateComment($input: UpdateCommentInput!) { updateComment(input: $input) { id } }`;
export const DELETE_COMMENT = `mutation DeleteComment($id: ID!) { deleteComment(id: $id) { deletedId } }`;

const LIKE = `image { id filename fileDeleted thumbnailUrl(width: 320, height: 320) }`;
export const SIMILAR = `query Similar($id: ID!, $operation: String!, $dataset: ID) {
  similarImages(imageId: $id, operation: $operation, first: 24, datasetId: $dataset) { similarity ${LIKE} }
}`;
export const NEAR_DUPLICATES = `query NearDuplicates($id: ID!, $dataset: ID) {
  nearDuplicates(imageId: $id, first: 24, datasetId: $dataset) { distance ${LIKE} }
}`;
export const IMAGES_LIKE = `query ImagesLike($text: String!, $operation: String!, $dataset: ID!) {
  imagesLike(text: $text, operation: $operation, first: 200, datasetId: $dataset) { similarity image { ${TILE} } }
}`;

export const SOFT_DELETE = `mutation SoftDelete($input: SoftDeleteImageInput!) {
  softDeleteImage(input: $input) { id }
}`;
export const RESTORE = `mutation Restore($id: ID!) { restoreImage(id: $id) { id } }`;
export const DELETE_IMAGE = `mutation DeleteImage($id: ID!) { deleteImage(id: $id) { deletedId } }`;

const ANALYSIS = `id operation operationVersion external modelName modelVersion status errorCode
  errorMessage createdAt startedAt completedAt updatedAt summary parameters
  run { id }
  artifacts { id name contentType storagePath sizeBytes url }
  json: exportUrl(format: JSON) csv: exportUrl(format: CSV) coco: exportUrl(format: COCO)`;

const ANNOTATIONS = `totalCount
  nodes { id annotationType className confidence data storagePath url }
  pageInfo { hasNextPage endCursor }`;

// What most pictures have comes with the first answer; more of it by ANALYSIS_ANNOTATIONS.
export const IMAGE = `query Image($id: ID!) {
  eventCursor
  image(id: $id, deleted: INCLUDED) {
    id filename contentType sizeBytes width height frames orientation orientationApplied notes
    metadata createdAt uploadedBy url
    deletion { deletedAt deletedBy reason purgeAt fileDeleted }
    preview: thumbnailUrl(width: 1024, height: 1024)
    json: exportUrl(format: JSON) csv: exportUrl(format: CSV) coco: exportUrl(format: COCO)
    dataset { id name classes(first: 1000) { nodes { id name description } } }
    subject { id name }
    batch { id name takenAt }
    side light takenAt fileDeleted resultsDeletedAt reportUrl
    runs { completedAt run { id application { title } } }
    classifications(first: 200) { nodes { id isMine createdBy createdAt imageClass { id name } } }
    comments(first: 200) {
      nodes { id text author isMine createdAt updatedAt } pageInfo { hasNextPage endCursor }
    }
    analyses(first: 20, orderBy: CREATED_DESC) {
      totalCount
      nodes { ${ANALYSIS} annotations(first: 2000) { ${ANNOTATIONS} } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

// Older analyses come without what they found, which is read once they are shown.
export const OLDER_ANALYSES = `query OlderAnalyses($id: ID!, $after: String) {
  image(id: $id, deleted: INCLUDED) {
    analyses(first: 50, after: $after, orderBy: CREATED_DESC) {
      totalCount
      nodes { ${ANALYSIS} annotations(first: 1) { totalCount } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

export const ONE_ANALYSIS = `query Analysis($id: ID!) {
  analysis(id: $id) { image { id } ${ANALYSIS} annotations(first: 2000) { ${ANNOTATIONS} } }
}`;

export const ANALYSIS_ANNOTATIONS = `query Annotations($id: ID!, $after: String) {
  analysis(id: $id) { annotations(first: 5000, after: $after) { ${ANNOTATIONS} } }
}`;

export const ANALYZE = `mutation Analyze($input: AnalyzeInput!) { analyze(input: $input) { id } }`;
export const CANCEL = `mutation Cancel($id: ID!) { cancelAnalysis(id: $id) { id } }`;
export const RETRY = `mutation Retry($id: ID!) { retryAnalysis(id: $id) { id } }`;

export const OPERATIONS = `query Operations {
  operations {
    name version description targets defaultTarget paramsSchema resultType available embedsText
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

export const FOLLOW_IMAGES = `subscription FollowImages($after: Cursor, $datasetId: ID) {
  imageEvents(after: $after, datasetId: $datasetId) { cursor kind imageId }
}`;

export const FOLLOW = `subscription Follow($after: Cursor, $datasetId: ID, $imageId: ID) {
  analysisEvents(after: $after, datasetId: $datasetId, imageId: $imageId) {
    cursor kind status text artifactName analysisId
    analysis { id status operation modelName modelVersion errorMessage image { id } }
  }
}`;
