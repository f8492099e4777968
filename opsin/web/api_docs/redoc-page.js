// Shows /openapi.json in three columns, for reading. Its search needs a worker made from text, which
// the page's policy forbids; a browser finds words as well.
Redoc.init(
  '/openapi.json',
  {
    disableSearch: true,
    nativeScrollbars: true,
    theme: { typography: { fontFamily: 'system-ui, sans-serif', headings: { fontFamily: 'system-ui, sans-serif' } } },
  },
  document.querySelector('#redoc'),
);
