"""The enums of pictures' parts, which operations, collections and plugins' params share."""

import strawberry

from opsin.core.contract import FaceContext, Target

strawberry.enum(Target, description="Which part of the picture an operation looks at.")
strawberry.enum(FaceContext, description="Where the prominent face is looked for.")

__all__ = ["FaceContext", "Target"]
