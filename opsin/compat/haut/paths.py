"""The paths of the API: the image of a batch of a subject of a dataset of a company."""

API = "/api/v1"
COMPANY = f"{API}/companies/{{company_id}}"
DATASET = f"{COMPANY}/datasets/{{dataset_id}}"
SUBJECT = f"{DATASET}/subjects/{{subject_id}}"
BATCH = f"{SUBJECT}/batches/{{batch_id}}"
IMAGE = f"{BATCH}/images/{{image_id}}"
"""Paths without the slash at their end; every route is served with it, too."""
