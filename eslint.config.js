// The lint rules, the boundaries between folders among them.
//
// A boundary is a fact of the architecture (ARCHITECTURE.md): which folder may use which.
// Each says its reason in the message, because that is what its breaker reads.
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const folders = [
  'alerts',
  'api',
  'balance',
  'cli',
  'config',
  'control',
  'gslb',
  'ha',
  'health',
  'l4',
  'l7',
  'metrics',
  'net',
  'offload',
  'system',
  'telemetry',
  'tls',
  'users',
];

/** Everything above a folder that is not in `allowed`, as it looks in a relative import. */
function othersThan(...allowed) {
  const names = [...folders, 'native', 'test', 'tui', 'main.js'].filter(
    (f) => !allowed.includes(f),
  );
  return `^(\\.\\./)+(appliance/)?(${names.join('|').replace('.', '\\.')})(/|$)`;
}

const koffi = {
  regex: '^koffi$',
  message:
    'Only native/ffi calls koffi: all unsafe code stays in one place that can be read whole.',
};
const tests = {
  regex: '^(\\.\\./)+test/',
  message: 'What ships does not know its tests.',
};

/** The patterns of one set of files; a later entry for the same file replaces an earlier one. */
function boundary(files, ...patterns) {
  return {
    files,
    rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns }] },
  };
}

export default defineConfig(
  { ignores: ['build/', 'node_modules/'] },
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' } },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/ban-ts-comment': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' },
      ],
      // Numbers in sentences are the rule here; objects in sentences stay an error.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // An async function without await is how a port's method keeps its type.
      '@typescript-eslint/require-await': 'off',
      eqeqeq: 'error',
      'no-console': 'off',
    },
  },
  boundary(['appliance/**/*.ts', 'tui/**/*.ts'], koffi, tests),
  boundary(['test/**/*.ts'], koffi),
  boundary(['native/**/*.ts'], tests, {
    regex: '^(\\.\\./)+(appliance|tui)/',
    allowTypeImports: true,
    message: 'Bindings know the kernel, not the appliance: only types may come from above.',
  }),
  boundary(['appliance/balance/**/*.ts'], koffi, tests, {
    regex: othersThan('balance'),
    message:
      'appliance/balance is pure: it is tested without a kernel, so it uses nothing of other folders.',
  }),
  boundary(['appliance/config/**/*.ts'], koffi, tests, {
    // What may be written into a head the codec knows, and what can be searched for the engine of
    // regular expressions; both are as pure as the language.
    regex: othersThan('config').replace('|l7|', '|l7(?!/(http1|routing/regex)/)|'),
    message:
      'appliance/config is pure: it is tested without a kernel, so of other folders it uses only the HTTP codec and the regular expressions of layer 7.',
  }),
  ...['net', 'health', 'l4', 'api', 'offload'].map((folder) =>
    boundary([`appliance/${folder}/**/*.ts`], koffi, tests, {
      regex: othersThan(folder, 'config', 'native', 'balance'),
      allowTypeImports: true,
      message: `appliance/${folder} does its one job and knows its neighbours by type only; appliance/control joins them.`,
    }),
  ),
  boundary(['appliance/alerts/**/*.ts'], koffi, tests, {
    // Files of secrets, Retry-After and the clock are there already.
    regex: othersThan('alerts', 'config', 'tls'),
    allowTypeImports: true,
    message:
      'appliance/alerts carries what it is handed to those who are told; appliance/control joins it with the unit.',
  }),
  boundary(['appliance/users/**/*.ts'], koffi, tests, {
    regex: othersThan('users', 'config', 'api'),
    message:
      'appliance/users keeps users and tokens and knows who is logged in; appliance/control says who may be changed.',
  }),
  boundary(['appliance/metrics/**/*.ts'], koffi, tests, {
    regex: othersThan('metrics', 'config'),
    allowTypeImports: true,
    message:
      'appliance/metrics says what the API says, in another format: it knows the rest by type only.',
  }),
  boundary(['appliance/ha/**/*.ts'], koffi, tests, {
    regex: othersThan('ha', 'config', 'net', 'native'),
    message:
      'appliance/ha runs in a process of its own: it knows the language and the network, and nothing of the daemon.',
  }),
  boundary(['appliance/tls/**/*.ts'], koffi, tests, {
    regex: othersThan('tls', 'config'),
    message:
      'appliance/tls keeps and makes certificates, and knows nothing of the daemon; appliance/control joins them.',
  }),
  // From its folders `../telemetry` is its own; that of the daemon is one step further.
  ...[
    ['appliance/l7/*.ts', '{1,}'],
    ['appliance/l7/*/**/*.ts', '{2,}'],
  ].map(([files, steps]) =>
    boundary([files], koffi, tests, {
      regex: othersThan('l7', 'config', 'balance', 'native').replace('+', steps),
      message:
        'appliance/l7 is what runs in a worker: it knows intent, algorithms and the kernel, and nothing of the daemon.',
    }),
  ),
  boundary(['appliance/l7/http1/**/*.ts'], koffi, tests, {
    regex: '^(\\.\\./)',
    message: 'appliance/l7/http1 is pure: bytes in, bytes out, so it uses nothing but itself.',
  }),
  boundary(['appliance/system/slots/**/*.ts'], koffi, tests, {
    regex: othersThan('system', 'native'),
    message:
      'appliance/system/slots knows the disk and the boot loader, and nothing of the daemon; appliance/control joins them.',
  }),
  boundary(['appliance/telemetry/**/*.ts'], koffi, tests, {
    regex: othersThan('telemetry', 'api', 'config'),
    allowTypeImports: true,
    message:
      'appliance/telemetry keeps what is shown, in the words of the API; it asks nobody for it.',
  }),
  boundary(['appliance/tls/**/*.ts'], koffi, tests, {
    regex: othersThan('tls', 'config', 'native'),
    message:
      'appliance/tls makes and keeps certificates: it knows intent, and nothing of those who use them.',
  }),
  boundary(['appliance/ha/pair/**/*.ts'], koffi, tests, {
    regex: othersThan('pair', 'config', 'tls', 'native'),
    message:
      'appliance/ha/pair carries messages between two units: it knows certificates, and nothing of what is sent.',
  }),
  boundary(['appliance/system/backup/**/*.ts'], koffi, tests, {
    regex: othersThan('system', 'api', 'config', 'control', 'tls', 'users'),
    allowTypeImports: true,
    message:
      'appliance/system/backup reads and writes what the stores keep, and knows nothing of what serves.',
  }),
  boundary(['appliance/cli/**/*.ts'], koffi, tests, {
    regex: othersThan('cli', 'config', 'api', 'native'),
    allowTypeImports: true,
    message: 'The command speaks to the daemon over its socket, and to nothing else.',
  }),
  boundary(['tui/**/*.ts'], koffi, tests, {
    // The client with its errors, files that it reads and writes, and how what the daemon says is written, are the
    // command's.
    regex: othersThan('tui', 'config', 'api').replace(
      '|cli|',
      '|cli(?!/(client|exit-codes|format|changes|cert-(files|path|text)|sparkline|live-text|hardware-text|network-text|pair-(standing|text)|reach-text|secret-file|upgrade-text)\\.js)|',
    ),
    allowTypeImports: true,
    message: 'The dashboard speaks to the daemon over its socket, and to nothing else.',
  }),
  {
    files: ['**/*.js'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly' } },
  },
);
