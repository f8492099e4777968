"""A server of the usual kind for the VISTA API, to measure against: written as guides teach it.

FastAPI with a session of SQLAlchemy's ORM for each request and pydantic models for each answer; API
keys are found by their prefix, bodies are signed as pipelines sign them.  Only what is measured.
"""

import hashlib
import hmac
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import JSON, DateTime, ForeignKey, Index, event, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEY = "baseline_4f7a_0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SECRET = os.environ.get("BASELINE_SECRET", "")
MOST_ANALYSES, MOST_ANNOTATIONS, SHOWN = 10, 1000, 500

engine = create_async_engine(os.environ["BASELINE_DATABASE_URL"])
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Key(Base):
    __tablename__ = "baseline_keys"

    prefix: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]


class Image(Base):
    __tablename__ = "baseline_images"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


class Analysis(Base):
    __tablename__ = "baseline_analyses"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    image_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("baseline_images.id"), index=True)
    model_name: Mapped[str]
    model_version: Mapped[str]
    parameters: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(default="queued")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Annotation(Base):
    __tablename__ = "baseline_annotations"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    analysis_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("baseline_analyses.id"))
    annotation_type: Mapped[str]
    class_name: Mapped[str | None]
    confidence: Mapped[float | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    storage_path: Mapped[str | None]
    ordering: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index(None, "analysis_id", "created_at", "id"),)


class AnnotationIn(BaseModel):
    annotation_type: str = Field(min_length=3, max_length=50)
    class_name: str | None = Field(None, max_length=255)
    confidence: float | None = Field(None, ge=0, le=1)
    data: dict[str, Any]
    storage_path: str | None = None
    ordering: int | None = None


class BulkIn(BaseModel):
    annotations: list[AnnotationIn]


class AnnotationOut(AnnotationIn):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    analysis_id: uuid.UUID
    created_at: datetime


class AnnotationsOut(BaseModel):
    annotations: list[AnnotationOut]
    total: int


class AnalysisIn(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str = Field(min_length=2, max_length=255)
    model_version: str = Field(min_length=1, max_length=100)
    parameters: dict[str, Any] | None = None


class AnalysisOut(AnalysisIn):
    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    id: uuid.UUID
    image_id: uuid.UUID
    status: str
    created_at: datetime
    annotations: list[AnnotationOut] = []


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


async def keyed(db: Session, authorization: Annotated[str, Header()] = "") -> None:
    token = authorization.removeprefix("Bearer ")
    found = await db.get(Key, token.rpartition("_")[0])
    digest = hashlib.sha256(token.encode()).hexdigest()
    if found is None or not hmac.compare_digest(found.sha256, digest):
        raise HTTPException(401, "Authentication required.")


async def signed(
    request: Request,
    x_ml_signature: Annotated[str, Header()] = "",
    x_ml_timestamp: Annotated[str, Header()] = "0",
) -> None:
    message = x_ml_timestamp.encode() + b"." + await request.body()
    wanted = "sha256=" + hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
    late = abs(time.time() - int(x_ml_timestamp)) > 300
    if late or not hmac.compare_digest(wanted, x_ml_signature):
        raise HTTPException(401, "Invalid HMAC signature")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as db:
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        db.add(Key(prefix=KEY.rpartition("_")[0], sha256=digest))
        db.add_all([Image(id=image_id(n)) for n in range(int(os.environ["BASELINE_IMAGES"]))])
        await db.commit()
    yield


app = FastAPI(lifespan=lifespan)
keyed_routes = APIRouter(prefix="/api-key", dependencies=[Depends(keyed)])


@app.get("/health")
async def health() -> str:
    return "ok"


@app.get("/bench")
async def bench() -> dict[str, Any]:
    """What the measurement needs."""
    images = [str(image_id(n)) for n in range(int(os.environ["BASELINE_IMAGES"]))]
    return {"key": KEY, "images": images}


@keyed_routes.post("/images/{image_id}/analyses", status_code=201)
async def create(image_id: uuid.UUID, body: AnalysisIn, db: Session) -> AnalysisOut:
    if await db.get(Image, image_id) is None:
        raise HTTPException(404, "Image not found")
    there = select(func.count()).select_from(Analysis).where(Analysis.image_id == image_id)
    if (await db.execute(there)).scalar_one() >= MOST_ANALYSES:
        raise HTTPException(400, "Analysis limit reached for this image")
    made = Analysis(**body.model_dump(), image_id=image_id, created_at=datetime.now(UTC))
    db.add(made)
    await db.commit()
    return _shown(made, [])


@keyed_routes.post("/analyses/{analysis_id}/annotations:bulk", dependencies=[Depends(signed)])
async def bulk(analysis_id: uuid.UUID, body: BulkIn, db: Session) -> AnnotationsOut:
    await _require(db, analysis_id)
    if len(body.annotations) > MOST_ANNOTATIONS:
        raise HTTPException(400, "Too many annotations in one request")
    now = datetime.now(UTC)
    db.add_all(
        [
            Annotation(**one.model_dump(), analysis_id=analysis_id, created_at=now)
            for one in body.annotations
        ]
    )
    await db.commit()
    return await _page(db, analysis_id, 0, SHOWN)


@keyed_routes.get("/analyses/{analysis_id}")
async def read(analysis_id: uuid.UUID, db: Session) -> AnalysisOut:
    analysis = await _require(db, analysis_id)
    return _shown(analysis, (await _page(db, analysis_id, 0, None)).annotations)


@keyed_routes.get("/analyses/{analysis_id}/annotations")
async def page(
    analysis_id: uuid.UUID,
    db: Session,
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=0, le=1000)] = 200,
) -> AnnotationsOut:
    await _require(db, analysis_id)
    return await _page(db, analysis_id, skip, limit)


async def _require(db: AsyncSession, analysis_id: uuid.UUID) -> Analysis:
    found = await db.get(Analysis, analysis_id)
    if found is None:
        raise HTTPException(404, "Analysis not found")
    return found


async def _page(
    db: AsyncSession, analysis_id: uuid.UUID, skip: int, limit: int | None
) -> AnnotationsOut:
    mine = Annotation.analysis_id == analysis_id
    count = select(func.count()).select_from(Annotation).where(mine)
    total = (await db.execute(count)).scalar_one()
    wanted = select(Annotation).where(mine).order_by(Annotation.created_at, Annotation.id)
    rows = (await db.execute(wanted.offset(skip).limit(limit))).scalars()
    return AnnotationsOut(
        annotations=[AnnotationOut.model_validate(row) for row in rows], total=total
    )


app.include_router(keyed_routes)


def image_id(number: int) -> uuid.UUID:
    """The id of one of the images that are there from the start."""
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def _shown(analysis: Analysis, annotations: list[AnnotationOut]) -> AnalysisOut:
    names = [name for name in AnalysisOut.model_fields if name != "annotations"]
    fields = {name: getattr(analysis, name) for name in names}
    return AnalysisOut(**fields, annotations=annotations)


if engine.dialect.name == "sqlite":

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}").close()
