/**
 * Whatever went wrong, as the status and body that a client gets (RFC 9110 §15).
 *
 * Invariant: only `PortError` carries its own words to the client. What nobody
 * foresaw is answered as `internal` without detail, and goes to the log in full.
 */
import { ERROR_STATUS, type ErrorBody, type ErrorCode } from './contract.js';
import { PortError } from './port.js';

export interface ErrorResponse {
  readonly status: number;
  readonly body: ErrorBody;
  /** For the header Retry-After; null: none. */
  readonly retryAfterMs: number | null;
  /** Nobody foresaw it: log it. */
  readonly unexpected: boolean;
}

export function errorBody(
  code: ErrorCode,
  message: string,
  details: PortError['details'] = [],
): ErrorBody {
  return { error: details.length === 0 ? { code, message } : { code, message, details } };
}

export function errorResponse(error: unknown): ErrorResponse {
  if (error instanceof PortError) {
    return {
      status: ERROR_STATUS[error.code],
      body: errorBody(error.code, error.message, error.details),
      retryAfterMs: error.retryAfterMs,
      unexpected: error.code === 'internal',
    };
  }
  const known = fromFastify(error);
  if (known !== null) {
    return {
      status: ERROR_STATUS[known.code],
      body: errorBody(known.code, known.message),
      retryAfterMs: null,
      unexpected: false,
    };
  }
  return {
    status: ERROR_STATUS.internal,
    body: errorBody('internal', 'The daemon failed at this request: its log says why.'),
    retryAfterMs: null,
    unexpected: true,
  };
}

/** Errors that fastify finds before a handler runs, by their documented codes. */
const FASTIFY_CODES: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: 'too-large',
    message: 'The body is larger than 16 MiB, the most that one document may have.',
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'unsupported-media-type',
    message: 'Send application/yaml or application/json, named in Content-Type.',
  },
  FST_ERR_CTP_EMPTY_TYPE: {
    code: 'unsupported-media-type',
    message: 'Send application/yaml or application/json, named in Content-Type.',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'bad-request',
    message: 'The body is not as long as Content-Length says.',
  },
  FST_ERR_BAD_URL: { code: 'bad-request', message: 'The path is not properly percent-encoded.' },
  FST_ERR_MAX_PARAM_LENGTH: {
    code: 'not-found',
    message: 'No such thing: a name in the path is longer than any can be.',
  },
};

function fromFastify(error: unknown): { code: ErrorCode; message: string } | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') {
    return null;
  }
  return Object.hasOwn(FASTIFY_CODES, error.code) ? (FASTIFY_CODES[error.code] ?? null) : null;
}
