// Signs deliveries, or judges signed ones, with the providers' own libraries.
//
// One JSON object a line on standard input, one a line on standard output, in the same order:
//   {"op": "sign", "scheme", "secret", "body": base64}             -> {"headers": {...}}
//   {"op": "verify", "scheme", "secret", "body": base64, "headers"} -> {"valid": true or false, "why"}

import { randomUUID, webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

import { sign as octokitSign, verify as octokitVerify } from "@octokit/webhooks-methods";
import { assertValidSignature, encodeSignatureHeader } from "@sanity/webhook";
import "@shopify/shopify-api/adapters/node";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import { createSHA256HMAC } from "@shopify/shopify-api/runtime";
import { Webhook } from "standardwebhooks";

// Node 18 has it, but not under this name.
globalThis.crypto ??= webcrypto;

const schemes = {
  sanity: {
    sign: async (secret, body) => ({
      "sanity-webhook-signature": await encodeSignatureHeader(body, Date.now(), secret),
    }),
    // Throws if it is not valid.
    verify: async (secret, body, headers) => {
      await assertValidSignature(body, headers["sanity-webhook-signature"], secret);
      return true;
    },
  },

  github: {
    sign: async (secret, body) => ({ "X-Hub-Signature-256": await octokitSign(secret, body) }),
    verify: (secret, body, headers) => octokitVerify(secret, body, headers["x-hub-signature-256"]),
  },

  shopify: {
    // The function with which the library computes what it then compares with the header.
    sign: async (secret, body) => ({ "X-Shopify-Hmac-Sha256": await createSHA256HMAC(secret, body) }),
    verify: async (secret, body, headers) => {
      const rawRequest = { method: "POST", url: "/webhook", headers, socket: {} };
      const answer = await shopify(secret).webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} });
      if (!answer.valid) throw new Error(JSON.stringify(answer));
      return true;
    },
  },

  standard_webhooks: {
    sign: async (secret, body) => {
      const id = `msg_${randomUUID()}`;
      const at = new Date();
      return {
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
        "webhook-signature": new Webhook(secret).sign(id, at, body),
      };
    },
    verify: async (secret, body, headers) => {
      new Webhook(secret).verify(body, headers);
      return true;
    },
  },
};

function shopify(secret) {
  return shopifyApi({
    apiKey: "compat",
    apiSecretKey: secret,
    hostName: "freshet.test",
    apiVersion: ApiVersion.July26,
    isEmbeddedApp: false,
    logger: { log: () => {} },
  });
}

async function answer({ op, scheme, secret, body, headers }) {
  const { sign, verify } = schemes[scheme];
  const text = Buffer.from(body, "base64").toString("utf8");
  if (op === "sign") return { headers: await sign(secret, text) };
  try {
    return { valid: await verify(secret, text, headers), why: "" };
  } catch (error) {
    return { valid: false, why: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) console.log(JSON.stringify(await answer(JSON.parse(line))));
}
