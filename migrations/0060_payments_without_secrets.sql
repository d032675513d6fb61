-- Stored Payments keep neither a virtual account's secret, which has a column of its own, nor the payer's own account.
-- Nothing reads either. Payment workers from before this write them until they are replaced.
UPDATE payments SET toss_payment = JSON_REMOVE(toss_payment, '$.secret', '$.virtualAccount.refundReceiveAccount')
WHERE toss_payment IS NOT NULL AND JSON_VALID(toss_payment)
