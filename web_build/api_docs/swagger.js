// Shows /openapi.json and lets its operations be tried, each tag folded until it is looked for.
SwaggerUIBundle({
  url: '/openapi.json',
  domNode: document.querySelector('#swagger-ui'),
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  docExpansion: 'none',
  defaultModelsExpandDepth: -1,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
