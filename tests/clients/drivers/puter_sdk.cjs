// Puter's SDK, as it runs in Node: asks an API whose a token is, and says for which app it takes the token to be.
const [, , origin, token] = process.argv;
globalThis.PUTER_API_ORIGIN = origin;
const { init } = require("@heyputer/puter.js/src/init.cjs");

const puter = init(token);
puter.auth.getUser().then(
  (user) => print({ user, app: puter.getAppIDFromAuthToken(token) }),
  (error) => print({ status: error.status }),
);

function print(content) {
  process.stdout.write(JSON.stringify(content), () => process.exit(0));
}
