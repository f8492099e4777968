"""The VISTA API: projects, images and what pipelines that run elsewhere tell of them."""
