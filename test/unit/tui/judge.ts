/** What the daemon would say of a candidate: by the language's own checks, without a daemon. */
import { checkDocument } from '../../../appliance/config/document.js';
import { diffDocuments } from '../../../appliance/config/changes.js';
import type { Document } from '../../../appliance/api/contract.js';
import type { Check } from '../../../tui/config/draft.js';

export function judged(current: Document | null, document: unknown): Check {
  const result = checkDocument(document);
  if (!result.ok) {
    const problem = 'The document is not valid.';
    return { changes: [], warnings: [], errors: result.errors, problem, unanswered: false };
  }
  const warnings = result.warnings.map(({ path, message }) => `${path}: ${message}`);
  const changes = diffDocuments(current, result.document);
  return { changes, warnings, errors: [], problem: null, unanswered: false };
}
