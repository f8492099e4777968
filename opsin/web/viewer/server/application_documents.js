/** GraphQL documents of applications, subjects and their histories. */

const STEPS = `steps { key operation requires available unavailableReason }`;
const APPLICATION = `id name title description imageType { name title } ${STEPS}`;
const RETENTION = `retention { expireFilesAfterDays expireResultsAfterDays deleteFilesWhenReady }`;
const RUN = `id isEnabled isCatchingUp steps createdAt
  application { ${APPLICATION} }
  images(first: 1) { totalCount }
  completed: images(first: 1, filter: { completed: true }) { totalCount }`;

export const IMAGE_TYPES = `query ImageTypes { imageTypes { name title onePerBatch sides { name title } } }`;

export const APPLICATIONS_OF = `query ApplicationsOf($id: ID!) {
  dataset(id: $id) { id name description imageType { name title } ${RETENTION} applications(first: 100) { nodes { ${RUN} } } }
  applications { ${APPLICATION} }
}`;
export const ATTACH = `mutation Attach($input: AttachApplicationInput!) { attachApplication(input: $input) { id } }`;
export const DETACH = `mutation Detach($id: ID!) { detachApplication(runId: $id) { id } }`;
export const UPDATE_DATASET = `mutation UpdateDataset($input: UpdateDatasetInput!) {
  updateDataset(input: $input) { id ${RETENTION} }
}`;

export const SUBJECTS = `query Subjects($id: ID!, $after: String, $filter: SubjectFilter) {
  dataset(id: $id) {
    id name description imageType { name title }
    subjects(first: 50, after: $after, filter: $filter) {
      totalCount
      nodes { id name birthDate sex createdAt
        images(first: 3, orderBy: TAKEN_DESC) { totalCount nodes { id takenAt fileDeleted thumbnailUrl(width: 96, height: 96) } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;
const SUBJECT_FIELDS = `id name birthDate sex attributes createdAt dataset { id name imageType { name title sides { name title } } }`;
export const CREATE_SUBJECT = `mutation CreateSubject($input: CreateSubjectInput!) { createSubject(input: $input) { id } }`;
export const UPDATE_SUBJECT = `mutation UpdateSubject($input: UpdateSubjectInput!) { updateSubject(input: $input) { ${SUBJECT_FIELDS} } }`;
export const DELETE_SUBJECTS = `mutation DeleteSubjects($input: SubjectsInput!) { deleteSubjects(input: $input) { deletedIds } }`;

const TAKEN = `images(first: 60, after: $after, orderBy: TAKEN_DESC) {
  totalCount
  nodes { id filename side takenAt fileDeleted thumbnailUrl(width: 240, height: 240) batch { id takenAt } }
  pageInfo { hasNextPage endCursor }
}`;
export const HISTORY_LENGTH = 1000; // points of one subject
export const SUBJECT = `query Subject($id: ID!, $after: String) {
  eventCursor
  subject(id: $id) {
    ${SUBJECT_FIELDS} ${TAKEN}
    history(first: ${HISTORY_LENGTH}) { imageId takenAt operation step applicationId name value score unit }
  }
  applications { id title }
}`;
export const MORE_TAKEN = `query MoreTaken($id: ID!, $after: String) { subject(id: $id) { ${TAKEN} } }`;
export const SMOOTHED = `query Smoothed($id: ID!, $days: Int!, $size: Int!, $method: SmoothingMethod!) {
  subject(id: $id) {
    smoothed(windowDays: $days, maxSize: $size, method: $method) { operation step applicationId name value count unit isScore }
  }
}`;
export const FOLLOW_RUNS = `subscription FollowRuns($after: Cursor, $datasetId: ID) {
  runEvents(after: $after, datasetId: $datasetId) { cursor kind imageId subjectId }
}`;
