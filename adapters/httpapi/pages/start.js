// Shows the server's own document. Nothing is asked of any other server, and neither the
// document nor the settings can be changed by the page's address.
"use strict";
window.ui = SwaggerUIBundle({
  dom_id: "#api",
  url: new URL("openapi.json", document.baseURI).href,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  validatorUrl: null,
  queryConfigEnabled: false,
  persistAuthorization: false,
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
