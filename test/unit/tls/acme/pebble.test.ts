/** Issuing from Pebble, an authority for tests: both challenges, and all that it makes difficult. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  AcmeIssuer,
  type CertificateSpec,
  type Issued,
} from '../../../../appliance/tls/acme/issuer.js';
import { AccountKey } from '../../../../appliance/tls/acme/account-key.js';
import { makeKey } from '../../../../appliance/tls/keys.js';
import { needs } from '../../../support/needs.js';
import { Accounts, Pebble } from '../../../support/pebble.js';

const test = suite('pebble');
const pebbled = needs.pebble(test);
const never = new AbortController().signal;

interface Stage {
  readonly pebble: Pebble;
  readonly accounts: Accounts;
  readonly issue: (spec?: Partial<CertificateSpec>) => Promise<Issued>;
}

function staged(
  body: (stage: Stage) => Promise<void>,
  environment: Readonly<Record<string, string>> = {},
  settings: Readonly<Record<string, unknown>> = {},
): () => Promise<void> {
  return async () => {
    const pebble = await Pebble.start(environment, settings);
    try {
      const accounts = new Accounts();
      const warnings: string[] = [];
      const issuer = new AcmeIssuer({
        accounts,
        responder: pebble.answers,
        warn: (sentence) => warnings.push(sentence),
      });
      const issue = (spec: Partial<CertificateSpec> = {}): Promise<Issued> =>
        issuer.issue(
          {
            directory: pebble.directory,
            ca: pebble.ca,
            names: ['shop.example.com'],
            key: 'ecdsa-p256',
            challenge: 'http-01',
            termsAgreed: true,
            contact: 'admin@example.com',
            ...spec,
          },
          never,
        );
      await body({ pebble, accounts, issue });
      assert.equal(warnings, []);
      assert.is(pebble.answers.shown.length, 0, 'expected every answer to be withdrawn');
    } finally {
      await pebble.end();
    }
  };
}

function names({ chain, key }: Issued): string | undefined {
  const leaf = new X509Certificate(chain[0] ?? Buffer.alloc(0));
  assert.ok(chain.length >= 2, `expected the leaf and its issuer, seen ${chain.length}`);
  assert.ok(leaf.checkPrivateKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' })));
  return leaf.subjectAltName;
}

for (const challenge of ['http-01', 'tls-alpn-01'] as const) {
  pebbled(
    `several names come in one certificate by ${challenge}`,
    staged(async ({ pebble, issue }) => {
      const wanted = ['shop.example.com', 'www.example.com'];
      const issued = await issue({ names: wanted, challenge });
      assert.is(names(issued), 'DNS:shop.example.com, DNS:www.example.com');
      assert.equal(
        pebble.answers.seen.map(({ type }) => type),
        [challenge, challenge],
      );
    }),
  );
}

pebbled(
  'an authority that refuses half of all nonces still issues, and again by the same account',
  staged(
    async ({ pebble, accounts, issue }) => {
      const first = await issue();
      const account = accounts.kept.get(pebble.directory);
      const second = await issue({ key: 'rsa-2048' });
      assert.equal(accounts.kept.get(pebble.directory), account);
      assert.is.not(first.chain[0]?.toString('hex'), second.chain[0]?.toString('hex'));
      assert.is(names(second), 'DNS:shop.example.com');
    },
    { PEBBLE_WFE_NONCEREJECT: '50' },
  ),
);

pebbled(
  'an account that the authority has forgotten is opened anew',
  staged(async ({ pebble, accounts, issue }) => {
    const key = new AccountKey(await makeKey('ecdsa-p256')).pkcs8();
    const old = pebble.directory.replace('/dir', '/my-account/deadbeef');
    accounts.kept.set(pebble.directory, { key, url: old });
    names(await issue());
    const account = accounts.kept.get(pebble.directory);
    assert.is.not(account?.url, old);
    assert.equal(account?.key, key);
  }),
);

pebbled(
  'a challenge that nobody answers is told with the name, the way and what to do',
  staged(async ({ pebble, issue }) => {
    pebble.answers.mute = true;
    const failure = await issue().then(
      () => 'it issued',
      (error: unknown) => String(error),
    );
    assert.match(
      failure,
      /could not confirm shop\.example\.com by http-01: .*unauthorized.*port 80/,
    );
  }),
);

pebbled(
  'terms that nobody agreed to are told with their address',
  staged(async ({ issue }) => {
    const failure = await issue({ termsAgreed: false }).then(
      () => 'it issued',
      (error: unknown) => String(error),
    );
    assert.match(failure, /agreement to its terms: read (data:|https:)/);
  }),
);

pebbled(
  'an authority whose own certificate is not trusted gets nothing',
  staged(async ({ accounts, issue }) => {
    const failure = await issue({ ca: undefined }).then(
      () => 'it issued',
      (error: unknown) => String(error),
    );
    assert.match(failure, /cannot be reached: .*self.signed/);
    assert.is(accounts.kept.size, 0);
  }),
);

const hmacKey = Buffer.from('0123456789abcdef0123456789abcdef');
pebbled(
  'an authority that takes only its own customers is told which of them this is',
  staged(
    async ({ issue }) => {
      const failure = await issue().then(
        () => 'it issued',
        (error: unknown) => String(error),
      );
      assert.match(failure, /names no external account/);
      names(
        await issue({
          externalAccount: () => ({ keyId: 'customer-1', hmacKey: Buffer.from(hmacKey) }),
        }),
      );
    },
    {},
    {
      externalAccountBindingRequired: true,
      externalAccountMACKeys: { 'customer-1': hmacKey.toString('base64url') },
    },
  ),
);

test.run();
