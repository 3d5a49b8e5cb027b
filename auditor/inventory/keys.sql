-- By what a run and the runs after it know a thing again: written into history.parquet, and looked up there by the views.

CREATE MACRO keep_days(amount, unit) AS
    amount * (CASE lower(unit) WHEN 'days' THEN 1 WHEN 'weeks' THEN 7 WHEN 'months' THEN 30.4375 WHEN 'years' THEN 365.25 END)::DOUBLE;
CREATE MACRO promise(item_id, policy_id, schedule, amount, unit) AS
    concat_ws('|', item_id, policy_id, schedule, amount, unit);
-- The four spans for which a policy keeps points, in days; none is 0.
CREATE MACRO spans(daily, daily_unit, weekly, weekly_unit, monthly, monthly_unit, yearly, yearly_unit) AS
    concat_ws('|', round(coalesce(keep_days(daily, daily_unit), 0), 2)::DECIMAL(9, 2),
              round(coalesce(keep_days(weekly, weekly_unit), 0), 2)::DECIMAL(9, 2),
              round(coalesce(keep_days(monthly, monthly_unit), 0), 2)::DECIMAL(9, 2),
              round(coalesce(keep_days(yearly, yearly_unit), 0), 2)::DECIMAL(9, 2));
