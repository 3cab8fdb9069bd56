/** Shows the API's OpenAPI document with Swagger UI, which asks no other host. */

window.SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
