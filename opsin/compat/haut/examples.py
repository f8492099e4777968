"""What the documents of the API show as sent: each can be sent as it stands."""

EXAMPLE_DATASET = "8b567f0a-89f1-45da-8b0e-42473e0293da"
EXAMPLE_SUBJECT = "145d2764-c924-499f-ac17-81d2a09bb121"
EXAMPLE_USER = ("somebody@example.com", "a password of somebody")
EXAMPLE_REFRESH = "the refresh token of the last answer"
_DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8Ma2JARtgYsABBqcEAHqdAfC54R7JAA"
    "AAAElFTkSuQmCC"
)

CREDENTIALS = {"username": EXAMPLE_USER[0], "password": EXAMPLE_USER[1]}
TOKEN = {"name": "my token", "expiration_time": "2033-04-17T16:10:17.350Z"}
IMAGE = {"side_id": 1, "light_id": 1, "b64data": _DOT}
RETENTION = {"expire_images_after_days": 30, "clean_images_as_soon_as_ready": False}
PERSON = {"birth_date": "1990-12-31", "biological_sex": 2, "meta": {"city": "Oslo"}}
BY_NUMBER = {"dataset_id": EXAMPLE_DATASET, "enabled_algorithms": [30, 40]}
BY_NAME = {"dataset_id": EXAMPLE_DATASET, "enabled_algorithms": ["redness", "face_detector"]}
WEBHOOK = {
    "url": "https://example.com/hook",
    "method": "post",
    "authorization": "bearer",
    "authorization_value": "what the receiver wants to see",
}
