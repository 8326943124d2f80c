// oidc-provider, a certified OpenID Connect issuer: listens on a free port of this machine and writes its address.
// It lets in everybody who gives a name, and makes access tokens in the form of RFC 9068 for the audience it is given.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [, , redirectUri, audience] = process.argv;

const server = createServer((request, response) => handle(request, response));
let handle = (request, response) => response.writeHead(503).end();
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: "jobsprint",
        client_secret: "a secret: of the client's + 1",
        redirect_uris: [redirectUri],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
      {
        client_id: "an-agent",
        client_secret: "an agent's secret",
        redirect_uris: [],
        response_types: [],
        grant_types: ["client_credentials"],
      },
    ],
    pkce: { required: () => true },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    findAccount: async (context, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: `${id} of the issuer` }),
    }),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "workflows:read executions:run",
          audience,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
  handle = provider.callback();
  console.log(JSON.stringify({ url }));
});
process.stdin.on("end", () => process.exit(0)).resume();
